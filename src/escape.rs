//! Escapes control characters in untrusted texts, for terminals and log lines.

use std::borrow::Cow;
use std::fmt::Write;

/// Returns true if a terminal might interpret the character or hide text with it: C0 and C1
/// controls, DEL, and Unicode's direction and line controls ("Trojan Source", CVE-2021-42574).
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// Returns the text on one line: all control characters are escaped, also tab and line feed.
pub fn one_line(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// Returns the text with all control characters escaped except tab and line feed. `\r\n` is a line
/// end.
pub fn lines(text: &str) -> Cow<'_, str> {
    match text.contains("\r\n") {
        true => Cow::Owned(escape(&text.replace("\r\n", "\n"), is_layout).into_owned()),
        false => escape(text, is_layout),
    }
}

fn is_layout(c: char) -> bool {
    matches!(c, '\n' | '\t')
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let must = |c: char| is_control(c) && !keep(c);
    if !text.contains(must) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !must(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x100 => {
                let _ = write!(out, "\\x{:02x}", c as u32); // a String takes any text
            }
            c => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
        }
    }
    Cow::Owned(out)
}

/// Returns JSON text on one line. Control characters beyond ASCII in its strings are escaped as
/// `\uXXXX`, so that the value stays the same.
pub fn json(text: &str) -> Cow<'_, str> {
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push(' '),
            c if is_control(c) => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let evil = "a\x1b]0;title\x07\u{9b}31mred\u{202e}x\x7f\r\nb\tc\rd";
        assert_eq!(lines(evil), "a\\x1b]0;title\\x07\\x9b31mred\\u{202e}x\\x7f\nb\tc\\rd");
        assert_eq!(one_line("a\nb\tc"), "a\\nb\\tc");
        assert_eq!(json("{\"a\":\"\u{9b}\x7f\"}"), "{\"a\":\"\\u009b\\u007f\"}");
    }

    #[test]
    fn plain_text_is_borrowed() {
        for text in ["", "caf\u{e9} \u{1f332}"] {
            assert!(matches!(lines(text), Cow::Borrowed(_)) && matches!(json(text), Cow::Borrowed(_)));
        }
    }
}
