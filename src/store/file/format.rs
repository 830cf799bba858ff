//! The format of a line, in the %-style of Python's `logging`: parsed once, into pieces.
//!
//! `%(name)[flags][width][.precision]conversion`, with the conversions `s`, `d` and `f` of Python's
//! `%` operator (<https://docs.python.org/3/library/stdtypes.html#printf-style-string-formatting>),
//! and `%%` for a percent sign. The names are those of Python's `LogRecord`
//! (<https://docs.python.org/3/library/logging.html#logrecord-attributes>) and logboom's own
//! fields.

use crate::limits::LINE_FORMAT_WIDTH_MAX;
use crate::record::python_format::{FormatSpec, take_digits};

/// The format that is used unless another is configured.
pub const DEFAULT_LINE_FORMAT: &str = "%(levelname)1.1s %(asctime)s %(name)s:%(lineno)3s %(message)s";

/// The format in which a record becomes a line.
#[derive(Clone, Debug, PartialEq)]
pub struct LineFormat {
    pub(super) pieces: Vec<LinePiece>,
}

/// A part of a line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum LinePiece {
    /// A text that is the same in every line.
    Literal(String),
    /// A value of the record.
    Value(LineField, Conversion, FormatSpec),
}

/// The letter that ends a placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conversion {
    Text,
    Whole,
    Fixed,
}

/// Declares the values that a line can show, each with its name in a format.
macro_rules! line_fields {
    ($($field:ident = $name:literal,)*) => {
        /// A value that a line can show.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum LineField { $($field,)* }

        const NAMES: &[(&str, LineField)] = &[$(($name, LineField::$field),)*];
    };
}

line_fields! {
    Name = "name",
    LevelName = "levelname",
    LevelNumber = "levelno",
    PathName = "pathname",
    FileName = "filename",
    Module = "module",
    Line = "lineno",
    Function = "funcName",
    Created = "created",
    Asctime = "asctime",
    Milliseconds = "msecs",
    Process = "process",
    ProcessName = "processName",
    Thread = "thread",
    ThreadName = "threadName",
    TaskName = "taskName",
    Message = "message",
    Id = "id",
    Service = "service",
    Host = "host",
    TraceId = "trace_id",
    SpanId = "span_id",
    EventName = "event_name",
    Attributes = "attributes",
    Timestamp = "timestamp",
}

impl LineField {
    fn named(name: &str) -> Result<LineField, String> {
        if let Some((_, field)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(*field);
        }
        let nearest = NAMES
            .iter()
            .map(|(known, _)| (strsim::jaro_winkler(known, name), *known))
            .max_by(|(one, _), (other, _)| one.total_cmp(other));
        Err(match nearest {
            Some((likeness, known)) if likeness > 0.8 => {
                format!("there is no field %({name}); did you mean %({known})?")
            }
            _ => {
                let known: Vec<&str> = NAMES.iter().map(|(known, _)| *known).collect();
                format!("there is no field %({name}); there are {}", known.join(", "))
            }
        })
    }

    /// Returns true if the value is a number, which all conversions accept.
    pub(super) fn is_number(self) -> bool {
        use LineField::{Created, Id, LevelNumber, Line, Milliseconds, Process, Thread};
        matches!(self, LevelNumber | Line | Created | Milliseconds | Process | Thread | Id)
    }
}

impl LineFormat {
    /// Parses a format. An error describes what is wrong with it, for the author of the
    /// configuration.
    pub fn parse(format: &str) -> Result<LineFormat, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = format;
        while let Some((before, after)) = rest.split_once('%') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                literal.push('%');
                rest = after;
                continue;
            }
            if !literal.is_empty() {
                pieces.push(LinePiece::Literal(std::mem::take(&mut literal)));
            }
            let (piece, after) = parse_placeholder(after).map_err(|error| {
                format!("the line format is wrong at character {}: {error}", position(format, after))
            })?;
            pieces.push(piece);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(LinePiece::Literal(literal));
        }
        if !pieces.iter().any(|piece| matches!(piece, LinePiece::Value(..))) {
            return Err("the line format shows no field of a record, such as %(message)s".to_owned());
        }
        Ok(LineFormat { pieces })
    }
}

impl Default for LineFormat {
    fn default() -> LineFormat {
        LineFormat::parse(DEFAULT_LINE_FORMAT).expect("a test parses this very format")
    }
}

/// Returns the index of the percent sign before `after`, in characters of the format, counted from
/// 1.
fn position(format: &str, after: &str) -> usize {
    format[..format.len() - after.len()].chars().count()
}

/// Parses what follows a percent sign. Returns the piece and the text after the placeholder.
fn parse_placeholder(text: &str) -> Result<(LinePiece, &str), String> {
    let text = text.strip_prefix('(').ok_or("a % must be followed by (name) or by another %")?;
    let (name, mut rest) = text.split_once(')').ok_or("a ) is missing")?;
    let field = LineField::named(name)?;
    let spec = FormatSpec::parse(&mut rest, |rest| parse_number(rest, name))?;
    let mut letters = rest.chars();
    let conversion = match letters.next() {
        Some('s') => Conversion::Text,
        Some('d' | 'f') if !field.is_number() => {
            return Err(format!("%({name}) is a text: write %({name})s"));
        }
        Some('d') => Conversion::Whole,
        Some('f') => Conversion::Fixed,
        _ => return Err(format!("%({name}) must end with s (text), d (whole number) or f (decimal number)")),
    };
    Ok((LinePiece::Value(field, conversion, spec), letters.as_str()))
}

fn parse_number(rest: &mut &str, name: &str) -> Result<Option<i64>, String> {
    let digits = take_digits(rest);
    if digits.is_empty() {
        return Ok(None);
    }
    match digits.parse() {
        Ok(number) if number <= LINE_FORMAT_WIDTH_MAX as i64 => Ok(Some(number)),
        _ => Err(format!(
            "the size {digits} of %({name}) is too large; the maximum is {LINE_FORMAT_WIDTH_MAX}"
        )),
    }
}
