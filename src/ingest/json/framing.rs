//! How a body holds its records, as far as its content type tells.

/// How the records of a body are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// By what the body looks like.
    #[default]
    Sniff,
    /// One value a line: NDJSON, also known as JSON lines.
    Lines,
}

impl Framing {
    /// The framing that a `Content-Type` header tells; parameters are ignored.
    pub fn of_content_type(content_type: &str) -> Framing {
        const LINES: [&str; 11] = [
            crate::ingest::http::EXPORTED,
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
