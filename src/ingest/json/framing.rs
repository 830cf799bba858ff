//! How a body contains its records, as far as its content type states it.

/// The content type that `logboom export` writes: lines of records that are stored without
/// interpretation.
pub const EXPORTED: &str = "application/vnd.logboom.records+ndjson";

/// How the records of a body are separated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Detected from the body.
    #[default]
    Sniff,
    /// One value per line: NDJSON, also known as JSON lines.
    Lines,
}

impl Framing {
    /// Returns the framing that a `Content-Type` header declares. Parameters are ignored.
    pub fn of_content_type(content_type: &str) -> Framing {
        const LINES: [&str; 11] = [
            EXPORTED,
            "application/x-ndjson",
            "application/ndjson",
            "application/jsonl",
            "application/x-jsonl",
            "application/jsonlines",
            "application/x-jsonlines",
            "application/json-lines",
            "application/x-json-lines",
            "application/jsonlines+json",
            "text/x-ndjson",
        ];
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if LINES.iter().any(|lines| essence.eq_ignore_ascii_case(lines)) {
            Framing::Lines
        } else {
            Framing::Sniff
        }
    }
}
