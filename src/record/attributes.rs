//! The attributes of a record: reads the JSON text of one object without parsing what is not wanted
//! and, except for escapes, without allocating.
//!
//! The text was validated when the record arrived, so this code assumes that it is JSON. If it is
//! not, attributes are merely not found. Names are compared decoded; of equal names the last one
//! counts.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memmem};

use super::bytes;

/// Returns the value of an attribute as written: of the member of that name, or else the value that
/// the dots lead to.
pub fn get<'a>(attributes: &'a str, path: &str) -> Option<&'a str> {
    if !may_hold(attributes, path) {
        return None;
    }
    member(attributes, path).or_else(|| match path.contains('.') {
        true => path.split('.').try_fold(attributes, member),
        false => None,
    })
}

/// Returns false only if the last step of the path does not occur in the text. This check decides
/// most records.
fn may_hold(attributes: &str, path: &str) -> bool {
    let last_step = path.rsplit('.').next().unwrap_or(path);
    memmem::find(attributes.as_bytes(), last_step.as_bytes()).is_some()
        || memchr(b'\\', attributes.as_bytes()).is_some()
}

/// Returns the value, as written, of the last member of exactly this name.
pub fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let named = members(object).filter(|(own, _)| unquoted(own) == name);
    named.last().map(|(_, value)| value)
}

/// Returns the members of an object in its order: each name with its quotes, and each value as
/// written. There are none if the text is not an object.
pub fn members(object: &str) -> Members<'_> {
    Members { rest: object.trim_start().strip_prefix('{').unwrap_or("") }
}

/// Iterator over the members of an object; see [`members`].
#[derive(Clone, Debug)]
pub struct Members<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let start = self.rest.trim_start_matches(|c: char| c == ',' || c.is_ascii_whitespace());
        let (name, rest) = start.split_at_checked(end_of_string(start)?)?;
        let value = rest.trim_start().strip_prefix(':')?.trim_start();
        let (value, rest) = value.split_at_checked(end_of_value(value)?)?;
        self.rest = rest;
        Some((name, value))
    }
}

/// Returns the content of a value that is a string. `None` for any other value, and for a string
/// that contains half of a surrogate pair, which a text cannot contain.
pub fn text(value: &str) -> Option<Cow<'_, str>> {
    let content = between_quotes(value)?;
    match memchr(b'\\', content.as_bytes()) {
        None => Some(Cow::Borrowed(content)),
        Some(_) => serde_json::from_str(value).ok().map(Cow::Owned),
    }
}

/// Returns the content of a name or of a value that is a string. Escapes remain as written if the
/// string contains half of a surrogate pair.
pub fn unquoted(string: &str) -> Cow<'_, str> {
    text(string).unwrap_or_else(|| Cow::Borrowed(between_quotes(string).unwrap_or(string)))
}

fn between_quotes(string: &str) -> Option<&str> {
    string.strip_prefix('"')?.strip_suffix('"')
}

/// The value of a member.
#[derive(Clone, Copy, Debug)]
pub enum MemberValue<'a> {
    /// The content of a string without escapes.
    String(&'a str),
    /// A string as written.
    Escaped(&'a str),
    /// A number as written.
    Number(&'a str),
    /// `true`, `false` or `null`.
    Word(&'a str),
    /// A list or an object.
    Nested,
}

/// Passes the name and the value of each member to `found`, including members of nested values at
/// any depth.
pub fn walk(attributes: &str, mut found: impl FnMut(&str, MemberValue<'_>)) {
    if memchr(b'\\', attributes.as_bytes()).is_none() {
        let _ = walk_without_escapes(attributes, found); // returns `None` after the last quote
        return;
    }
    let mut rest = attributes;
    while let Some((name, value)) = next_member(&mut rest) {
        match name {
            MemberValue::String(name) => found(name, value),
            MemberValue::Escaped(name) => found(&unquoted(name), value),
            _ => {}
        }
    }
}

/// If no quote is escaped, every second quote ends a string: all quotes are found in one pass.
fn walk_without_escapes(attributes: &str, mut found: impl FnMut(&str, MemberValue<'_>)) -> Option<()> {
    let mut quotes = bytes::positions(attributes.as_bytes(), |byte| byte == b'"');
    loop {
        let (start, end) = (quotes.next()?, quotes.next()?);
        let (name, after) = (attributes.get(start + 1..end)?, attributes.get(end + 1..)?);
        let Some(value) = after.trim_ascii_start().strip_prefix(':') else { continue };
        let value = value.trim_ascii_start();
        match value.as_bytes().first()? {
            b'"' => found(name, MemberValue::String(attributes.get(quotes.next()? + 1..quotes.next()?)?)),
            b'{' | b'[' => found(name, MemberValue::Nested),
            _ => found(name, scalar(value)?),
        }
    }
}

/// Returns the number or word that a text begins with.
fn scalar(text: &str) -> Option<MemberValue<'_>> {
    // A blank, a comma, or one of the closing brackets, which differ in one bit.
    let is_end = |byte: u8| byte <= b' ' || byte == b',' || byte | 0x20 == b'}';
    let value = text.get(..text.bytes().position(is_end)?)?;
    let is_number = value.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    Some(if is_number { MemberValue::Number(value) } else { MemberValue::Word(value) })
}

/// Returns the next string that is a name, and its value. `rest` then begins after the value, or
/// inside it if the value is nested.
fn next_member<'a>(rest: &mut &'a str) -> Option<(MemberValue<'a>, MemberValue<'a>)> {
    loop {
        let name = next_string(rest)?;
        let Some(value) = rest.trim_ascii_start().strip_prefix(':') else { continue };
        *rest = value.trim_ascii_start();
        let first = *rest.as_bytes().first()?;
        if first == b'"' {
            return Some((name, next_string(rest)?));
        }
        if matches!(first, b'{' | b'[') {
            *rest = rest.get(1..)?;
            return Some((name, MemberValue::Nested));
        }
        let value = scalar(rest)?;
        if let MemberValue::Number(text) | MemberValue::Word(text) = value {
            *rest = rest.get(text.len()..)?;
        }
        return Some((name, value));
    }
}

/// Returns the next string; `rest` then begins after it.
fn next_string<'a>(rest: &mut &'a str) -> Option<MemberValue<'a>> {
    let start = memchr(b'"', rest.as_bytes())?;
    let content = rest.get(start + 1..)?;
    let end = memchr2(b'"', b'\\', content.as_bytes())?;
    if content.as_bytes()[end] == b'"' {
        *rest = content.get(end + 1..)?;
        return content.get(..end).map(MemberValue::String);
    }
    let (string, after) = rest.get(start..)?.split_at_checked(end_of_string(rest.get(start..)?)?)?;
    *rest = after;
    Some(MemberValue::Escaped(string))
}

/// Returns the end of the value that a text begins with.
fn end_of_value(text: &str) -> Option<usize> {
    match text.as_bytes().first()? {
        b'"' => end_of_string(text),
        b'{' | b'[' => end_of_nested(text),
        _ => text.find(|c: char| matches!(c, ',' | '}' | ']') || c.is_ascii_whitespace()),
    }
}

/// Returns the end of the string that a text begins with.
pub(crate) fn end_of_string(text: &str) -> Option<usize> {
    let bytes = text.strip_prefix('"')?.as_bytes();
    let mut position = 0;
    loop {
        position += memchr2(b'"', b'\\', bytes.get(position..)?)?;
        if bytes[position] == b'"' {
            return Some(position + 2);
        }
        position += 2;
    }
}

fn end_of_nested(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut position, mut depth) = (0, 0usize);
    loop {
        match bytes.get(position)? {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b'"' => position += end_of_string(text.get(position..)?)? - 1,
            _ => {}
        }
        position += 1;
        if depth == 0 {
            return Some(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: &str =
        r#" {"a":1, "a.b" : "x" ,"\u0063":{"d":[{"e":2}],"f.g":3},"a":{"b":4,"c":null},"h\"":"\ud800"} "#;

    #[test]
    fn values_are_found_by_name_and_path() {
        for (path, value) in [
            ("a", Some(r#"{"b":4,"c":null}"#)),
            ("a.b", Some(r#""x""#)),
            ("a.c", Some("null")),
            ("c.d", Some(r#"[{"e":2}]"#)),
            ("c.f.g", None),
            ("c.d.e", None),
            ("h\"", Some(r#""\ud800""#)),
            ("b", None),
        ] {
            assert_eq!(get(OBJECT, path), value, "{path}");
            let exact = value.filter(|_| !matches!(path, "a.c" | "c.d"));
            assert_eq!(member(OBJECT, path), exact, "{path}");
        }
    }

    #[test]
    fn only_decodable_strings_have_text() {
        assert_eq!(text(r#""a\n\u00e9""#).unwrap(), "a\n\u{e9}");
        assert_eq!(text(r#""a""#), Some(Cow::Borrowed("a")));
        for value in [r#""\ud800""#, "1", "null", "{}", "\""] {
            assert_eq!(text(value), None, "{value}");
        }
        assert_eq!(unquoted(r#""\ud800""#), r"\ud800");
    }

    #[test]
    fn text_that_is_not_an_object_has_no_members() {
        for text in ["", "null", "[1]", "{", "{}", "{\"a\"", "{\"a\":", "{\"a\":1"] {
            assert_eq!(members(text).count(), 0, "{text}");
        }
    }

    #[test]
    fn walk_passes_members_at_any_depth() {
        for (object, expected) in [
            (r#"{"a":{"b":[{"c":-1.5}],"d":"x"},"e":true}"#, "a b c=-1.5 d=x e=true "),
            (r#"{"a":{"b":[{"c":-1.5}],"d\n":"x\n"},"e":true}"#, "a b c=-1.5 d\n=\"x\\n\" e=true "),
        ] {
            let mut found = String::new();
            walk(object, |name, value| {
                let shown = match value {
                    MemberValue::Nested => String::new(),
                    MemberValue::String(text)
                    | MemberValue::Escaped(text)
                    | MemberValue::Number(text)
                    | MemberValue::Word(text) => format!("={text}"),
                };
                found.extend([name, &shown, " "]);
            });
            assert_eq!(found, expected);
        }
    }
}
