//! The texts of valid JSON values: decoding strings, and replacing what databases would not accept.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memmem};

use super::member::JsonMember;
use crate::limits::JSON_DEPTH_MAX;
use crate::record::{attributes, json};

/// A text that is either part of the input or was decoded into a buffer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum JsonText<'a> {
    #[default]
    None,
    /// As written in the input.
    Given(&'a str),
    /// The range in the buffer, from start to end.
    Decoded(usize, usize),
}

impl<'a> JsonText<'a> {
    /// Returns the text of a member's value: the content of a string, or the JSON of any other
    /// value.
    pub(super) fn of(member: &JsonMember<'a>, buffer: &mut String) -> JsonText<'a> {
        match content(member.value) {
            None => JsonText::Given(member.value),
            Some(content) if !has_escape(content) => JsonText::Given(content),
            Some(content) => {
                let start = buffer.len();
                unescape(content, buffer);
                JsonText::Decoded(start, buffer.len())
            }
        }
    }

    /// Returns the text itself, from the buffer that it was decoded into.
    pub(super) fn get<'b>(self, buffer: &'b str) -> &'b str
    where
        'a: 'b,
    {
        match self {
            JsonText::None => "",
            JsonText::Given(text) => text,
            JsonText::Decoded(start, end) => &buffer[start..end],
        }
    }
}

/// Returns the text between the quotes if the value is a string.
pub(super) fn content(value: &str) -> Option<&str> {
    value.strip_prefix('"')?.strip_suffix('"')
}

/// Returns the content of a string, decoded if it has escapes. Any other value is returned
/// unchanged.
pub(super) fn decode(value: &str) -> Cow<'_, str> {
    match content(value) {
        Some(content) if has_escape(content) => {
            let mut decoded = String::with_capacity(content.len());
            unescape(content, &mut decoded);
            Cow::Owned(decoded)
        }
        Some(content) => Cow::Borrowed(content),
        None => Cow::Borrowed(value),
    }
}

fn has_escape(content: &str) -> bool {
    memchr(b'\\', content.as_bytes()).is_some()
}

/// Appends the content of a valid string. Half a surrogate pair becomes U+FFFD.
fn unescape(content: &str, out: &mut String) {
    let mut rest = content;
    while let Some(at) = memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let escape = &rest[at..];
        let (character, length) = match escape.as_bytes().get(1) {
            Some(b'u') => unicode(escape),
            Some(b'n') => ('\n', 2),
            Some(b't') => ('\t', 2),
            Some(b'r') => ('\r', 2),
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            // A quote, a slash or a backslash stands for itself.
            Some(byte) => (char::from(*byte), 2),
            None => ('\\', 1),
        };
        out.push(character);
        rest = escape.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
}

/// Returns the character that `\uXXXX` (or two of them) at the start of the text stands for, and
/// the length of the escape.
fn unicode(escape: &str) -> (char, usize) {
    let unit = |at: usize| {
        let digits = escape.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let first = unit(0).unwrap_or(0xfffd);
    if let (0xd800..0xdc00, Some(second @ 0xdc00..0xe000)) = (first, unit(6)) {
        let character = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(character).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}

/// Appends an attribute's value unchanged but without blanks between tokens, unless a database
/// would reject it.
///
/// Half surrogate pairs become U+FFFD, numbers beyond a double become strings, and a value that
/// nests deeper than [`JSON_DEPTH_MAX`] becomes a string of its JSON.
pub(super) fn write_value(member: &JsonMember<'_>, out: &mut Vec<u8>) {
    let value = member.value;
    match value.as_bytes().first() {
        Some(b'"') if !has_escape(value) => out.extend_from_slice(value.as_bytes()),
        Some(b'"') => out.extend_from_slice(mend_surrogates(value).as_bytes()),
        Some(b'{' | b'[') => write_nested(&mend_surrogates(value), out),
        Some(b'-' | b'0'..=b'9') => write_number(value, out),
        _ => out.extend_from_slice(value.as_bytes()),
    }
}

fn write_nested(value: &str, out: &mut Vec<u8>) {
    let start = out.len();
    let (mut depth, mut deepest) = (0usize, 0);
    for token in tokens(value) {
        match token.as_bytes()[0] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'-' | b'0'..=b'9' => {
                write_number(token, out);
                continue;
            }
            byte if byte.is_ascii_whitespace() => continue,
            _ => {}
        }
        deepest = deepest.max(depth);
        out.extend_from_slice(token.as_bytes());
    }
    if deepest > JSON_DEPTH_MAX {
        out.truncate(start);
        json::string(out, value);
    }
}

/// Returns the strings, the numbers and all other bytes of some valid JSON, one by one.
pub(super) fn tokens(json: &str) -> impl Iterator<Item = &str> {
    let is_of_number = |byte: u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let mut rest = json;
    std::iter::from_fn(move || {
        let length = match rest.as_bytes().first()? {
            b'"' => string_length(rest),
            b'-' | b'0'..=b'9' => rest.bytes().take_while(|byte| is_of_number(*byte)).count(),
            _ => 1,
        };
        let token;
        (token, rest) = rest.split_at(length);
        Some(token)
    })
}

/// Returns the length of the string that a text begins with; that of the text if the string has no
/// end.
fn string_length(text: &str) -> usize {
    attributes::end_of_string(text).unwrap_or(text.len())
}

/// Returns the length of the number that some JSON begins with, without its exponent: RFC 8259,
/// section 6.
#[inline]
pub(super) fn number_length(json: &[u8]) -> Option<usize> {
    let digits = |at: usize| json[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let start = usize::from(json.first() == Some(&b'-'));
    let whole = digits(start);
    let mut length = start + whole;
    if whole == 0 || whole > 1 && json[start] == b'0' {
        return None;
    }
    if json.get(length) == Some(&b'.') {
        let fraction = digits(length + 1);
        length += 1 + fraction;
        if fraction == 0 {
            return None;
        }
    }
    Some(length)
}

/// Writes a number. One that overflows a double would be read back as non-finite, and non-finite
/// numbers are always stored as strings.
fn write_number(number: &str, out: &mut Vec<u8>) {
    let may_overflow = number.len() > 300 || memchr2(b'e', b'E', number.as_bytes()).is_some();
    if may_overflow && number.parse::<f64>().is_ok_and(f64::is_infinite) {
        json::string(out, number);
    } else {
        out.extend_from_slice(number.as_bytes());
    }
}

/// Returns valid JSON with `\ufffd` for every escape that is half of a surrogate pair.
fn mend_surrogates(json: &str) -> Cow<'_, str> {
    if memmem::find(json.as_bytes(), b"\\u").is_none() {
        return Cow::Borrowed(json);
    }
    let mut mended = Cow::Borrowed(json);
    let mut at = 0;
    while let Some(found) = memchr(b'\\', &json.as_bytes()[at..]) {
        at += found;
        at += match json.as_bytes().get(at + 1) {
            Some(b'u') => {
                let (character, length) = unicode(&json[at..]);
                if character == char::REPLACEMENT_CHARACTER {
                    // The replacement has the same length.
                    mended.to_mut().replace_range(at..at + 6, "\\ufffd");
                }
                length
            }
            _ => 2,
        };
    }
    mended
}

/// Returns the JSON with strings for the words `NaN`, `Infinity` and `-Infinity`, which Python's
/// `json` writes although no standard defines them. Returns `None` if the JSON contains none of
/// these words.
pub(super) fn mend_non_finite(json: &str) -> Option<String> {
    const WORDS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];
    let mut mended = String::new();
    let (mut at, mut copied) = (0, 0);
    while let Some(&byte) = json.as_bytes().get(at) {
        let word = WORDS.iter().find(|word| json.as_bytes()[at..].starts_with(word.as_bytes()));
        if let Some(word) = word {
            mended.push_str(&json[copied..at]);
            mended.extend(["\"", word, "\""]);
            copied = at + word.len();
            at = copied;
        } else {
            at += if byte == b'"' { string_length(&json[at..]) } else { 1 };
        }
    }
    mended.push_str(&json[copied..]);
    (copied > 0).then_some(mended)
}
