//! The program's own messages: which are shown, and in which format.

use tracing::level_filters::LevelFilter;

use super::shape::{Shape, one_of};

/// The format of the program's own messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for a person.
    Text,
    /// One JSON object per line.
    Json,
}

/// The values of `log_level`: `error` is for messages that need a person, `warn` for conditions
/// that may soon need a person, `info` for changes such as starts, stops and recovery, and `debug`
/// for events of single connections and batches.
pub(super) const LOG_LEVEL_SHAPE: Shape<LevelFilter> =
    Shape::one("LEVEL", "`error`, `warn`, `info`, `debug` or `trace`", |text| {
        let words = [
            ("error", LevelFilter::ERROR),
            ("warn", LevelFilter::WARN),
            ("info", LevelFilter::INFO),
            ("debug", LevelFilter::DEBUG),
            ("trace", LevelFilter::TRACE),
        ];
        one_of(text, &words)
    });

/// The values of `log_format`.
pub(super) const LOG_FORMAT_SHAPE: Shape<LogFormat> = Shape::one("text|json", "`text` or `json`", |text| {
    one_of(text, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
});
