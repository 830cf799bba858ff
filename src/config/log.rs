//! The program's own messages: which are shown, and in which format.

use super::shape::{Arity, Shape, one_of};

/// The least severe of the program's own messages that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Only messages that need a person.
    Error,
    /// Also messages about conditions that may soon need a person.
    Warn,
    /// Also changes: starts, stops, recovery.
    Info,
    /// Also events of single connections and batches.
    Debug,
    /// Everything.
    Trace,
}

/// The format of the program's own messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for a person.
    Text,
    /// One JSON object per line.
    Json,
}

/// The values of `log_level`.
pub(super) const LOG_LEVEL_SHAPE: Shape<LogLevel> = Shape {
    name: "LEVEL",
    accepts: "`error`, `warn`, `info`, `debug` or `trace`",
    form: Arity::One,
    parse: |text| {
        let words = [
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ];
        one_of(text, &words)
    },
};

/// The values of `log_format`.
pub(super) const LOG_FORMAT_SHAPE: Shape<LogFormat> = Shape {
    name: "text|json",
    accepts: "`text` or `json`",
    form: Arity::One,
    parse: |text| one_of(text, &[("text", LogFormat::Text), ("json", LogFormat::Json)]),
};
