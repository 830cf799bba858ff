//! Reads the members of a usual object in half the time of serde_json's general reader.
//!
//! Usual means: one line, and valid. For anything else this reader returns `None`, and the general
//! reader decides.

use std::borrow::Cow;

use memchr::memchr2;

use super::member::JsonMember;
use super::text;
use crate::ingest::attributes::first_value;

/// Passes each member of the object `json` to `take`. Returns `None` if the object is not usual;
/// some members may have been passed by then.
pub(super) fn read<'a>(json: &'a str, mut take: impl FnMut(JsonMember<'a>)) -> Option<()> {
    let has_control = json.bytes().fold(false, |found, byte| found | (byte < b' '));
    if has_control {
        // No string may contain control characters, so the search for a string's end need not check
        // for them.
        return None;
    }
    let mut cursor = QuickReader { json, at: 0 };
    cursor.expect(b'{')?;
    if cursor.peek()? == b'}' {
        cursor.at += 1;
        return cursor.end();
    }
    loop {
        let (name, has_escape) = cursor.string()?;
        let name = if has_escape { text::decode(name) } else { Cow::Borrowed(text::content(name)?) };
        cursor.expect(b':')?;
        let (value, has_escape) = cursor.value()?;
        take(JsonMember { prefix: "", name, value, has_escape, in_attributes: false, line: None });
        match cursor.peek()? {
            b',' => cursor.at += 1,
            b'}' => {
                cursor.at += 1;
                return cursor.end();
            }
            _ => return None,
        }
    }
}

struct QuickReader<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> QuickReader<'a> {
    /// Returns the next byte that is not blank.
    fn peek(&mut self) -> Option<u8> {
        while *self.json.as_bytes().get(self.at)? == b' ' {
            self.at += 1;
        }
        Some(self.json.as_bytes()[self.at])
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn end(&mut self) -> Option<()> {
        self.peek().is_none().then_some(())
    }

    fn token(&mut self, length: usize) -> &'a str {
        let token = &self.json[self.at..self.at + length];
        self.at += length;
        token
    }

    /// Reads a value, and returns whether it may contain escapes.
    fn value(&mut self) -> Option<(&'a str, bool)> {
        match self.peek()? {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => Some((self.number()?, false)),
            _ => Some((self.other()?, true)),
        }
    }

    /// Reads a string with its quotes, and returns whether it has escapes.
    fn string(&mut self) -> Option<(&'a str, bool)> {
        if self.peek()? != b'"' {
            return None;
        }
        let bytes = &self.json.as_bytes()[self.at..];
        let (mut length, mut has_escape) = (1, false);
        loop {
            length += memchr2(b'"', b'\\', &bytes[length..])?;
            if bytes[length] == b'"' {
                break;
            }
            has_escape = true;
            length += escape_length(&bytes[length..])?;
        }
        Some((self.token(length + 1), has_escape))
    }

    fn number(&mut self) -> Option<&'a str> {
        let bytes = &self.json.as_bytes()[self.at..];
        let length = text::number_length(bytes)?;
        match bytes.get(length) {
            Some(b'e' | b'E') => self.other(),
            _ => Some(self.token(length)),
        }
    }

    /// Reads any value that is not a string or a plain number.
    fn other(&mut self) -> Option<&'a str> {
        let (value, rest) = first_value(&self.json[self.at..])?;
        self.at = self.json.len() - rest.len();
        Some(value)
    }
}

/// Returns the length of a valid escape.
fn escape_length(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => bytes.get(2..6)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::members;
    use super::*;

    /// Returns names and values as the quick reader reads them.
    fn quick(json: &str) -> Option<Vec<(String, String)>> {
        let mut found = Vec::new();
        read(json, |member| found.push((member.name.into_owned(), member.value.to_owned())))?;
        Some(found)
    }

    fn general(json: &str) -> Option<Vec<(String, String)>> {
        let mut found = Vec::new();
        let take = |member: JsonMember<'_>| found.push((member.name.into_owned(), member.value.to_owned()));
        members::read(json, take).ok()?;
        Some(found)
    }

    #[test]
    fn usual_object_is_read_quickly() {
        let object = r#" {"a":"b\"\u00e9", "c" : -0.5 ,"d\n":{"e":[1]},"f":true,"g":1e9,"h":[ ]} "#;
        assert_eq!(quick(object), general(object));
        assert_eq!(quick(object).unwrap().len(), 6);
        assert_eq!(quick(" { } "), Some(vec![]));
    }

    #[test]
    fn invalid_object_is_left_to_general_reader() {
        for value in [
            "01",
            "-",
            "1.",
            ".5",
            "+1",
            "1e",
            "nul",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\t\"",
            "[1",
            "",
            "1 2",
            "'a'",
        ] {
            assert_eq!(quick(&format!("{{\"a\":{value}}}")), None, "{value}");
        }
        for object in
            ["", "{", "{\"a\"}", "{\"a\":1,}", "{,}", "{\"a\":1}}", "{a:1}", "[]", "{\"a\":1 \"b\":2}"]
        {
            assert_eq!(quick(object), None, "{object}");
        }
    }

    proptest! {
        #[test]
        fn quick_and_general_reader_agree(value in "[-+.eE0-9]{1,6}|\"[a\\\\u\"/n0-9]{0,8}\"|[\\[\\]{},:\" 1a]{0,8}", more in "[\\\\}, ]{0,2}") {
            let json = format!("{{\"a\":{value}{more}}}");
            if let Some(members) = quick(&json) {
                prop_assert_eq!(Some(members), general(&json));
            }
        }
    }
}
