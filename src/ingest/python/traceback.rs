//! Finds the raised exception in the text of a traceback, as printed by CPython's
//! `Lib/traceback.py`.
//!
//! ```text
//! Traceback (most recent call last):        + Exception Group Traceback (most recent call last):
//!   File "app.py", line 3, in pay           |   File "app.py", line 3, in pay
//!     charge()                              |     charge()
//! app.errors.Refused: card refused          | ExceptionGroup: two of three (2 sub-exceptions)
//! and more lines of the message             +-+---------------- 1 ----------------
//! ```

use std::borrow::Cow;

/// An exception that was raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exception<'a> {
    /// The class name, with its module unless the class is built in.
    pub(super) kind: &'a str,
    /// The message, which may be empty or have several lines.
    pub(super) message: Cow<'a, str>,
}

const HEAD: &str = "Traceback (most recent call last):\n";
const GROUP_HEAD: &str = "  + Exception Group Traceback (most recent call last):\n";

/// Returns the exception that a traceback ends with: in a chain of exceptions, the one printed
/// last.
pub(super) fn exception(text: &str) -> Option<Exception<'_>> {
    let plain = last_at_line_start(text, HEAD);
    match (plain, last_at_line_start(text, GROUP_HEAD)) {
        (plain, Some(group)) if plain.is_none_or(|plain| plain < group) => group_exception(&text[group..]),
        (Some(plain), _) => parse(after_frames(&text[plain + HEAD.len()..])?),
        _ => parse(text),
    }
}

fn last_at_line_start(text: &str, head: &str) -> Option<usize> {
    let found = text.rmatch_indices(head).map(|(at, _)| at);
    found.into_iter().find(|at| *at == 0 || text.as_bytes()[at - 1] == b'\n')
}

/// Returns the text from the first line that is not indented.
fn after_frames(text: &str) -> Option<&str> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if !line.starts_with([' ', '\n']) {
            return Some(&text[start..]);
        }
        start += line.len();
    }
    None
}

/// Returns the exception of a group. The group's own type and message are printed behind a margin,
/// above the exceptions in the group.
fn group_exception(text: &str) -> Option<Exception<'_>> {
    let lines = text.lines().skip(1).map_while(|line| line.strip_prefix("  | "));
    let mut lines = lines.skip_while(|line| line.starts_with(' '));
    let first = parse(lines.next()?)?;
    let rest: Vec<&str> = lines.collect();
    if rest.is_empty() {
        return Some(first);
    }
    let message = std::iter::once(&*first.message).chain(rest).collect::<Vec<_>>().join("\n");
    Some(Exception { kind: first.kind, message: Cow::Owned(message) })
}

/// Parses `package.Type: message`, or `package.Type` alone.
fn parse(text: &str) -> Option<Exception<'_>> {
    let first_line = text.lines().next()?;
    let (kind, message) = match first_line.find(": ") {
        Some(colon) => (&text[..colon], &text[colon + 2..]),
        None => (first_line.trim_end_matches(':'), text[first_line.len()..].trim_start_matches('\n')),
    };
    // Python prints `NoneType: None` if there is no exception to print.
    (is_class_name(kind) && kind != "NoneType")
        .then(|| Exception { kind, message: Cow::Borrowed(message.trim_end()) })
}

/// Returns true if `text` consists of dotted identifiers, with `<locals>` for classes in functions.
fn is_class_name(text: &str) -> bool {
    let is_part = |part: &str| {
        part == "<locals>"
            || part.chars().enumerate().all(|(place, character)| {
                character == '_' || character.is_alphabetic() || place > 0 && character.is_alphanumeric()
            }) && !part.is_empty()
    };
    text.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Option<(String, String)> {
        exception(text).map(|exception| (exception.kind.to_owned(), exception.message.into_owned()))
    }

    fn some(kind: &str, message: &str) -> Option<(String, String)> {
        Some((kind.to_owned(), message.to_owned()))
    }

    const FRAMES: &str = "  File \"app.py\", line 3, in pay\n    charge()\n";

    #[test]
    fn last_line_holds_type_and_message() {
        assert_eq!(parts(&format!("{HEAD}{FRAMES}ValueError: bad: 4")), some("ValueError", "bad: 4"));
        assert_eq!(parts(&format!("{HEAD}{FRAMES}KeyboardInterrupt")), some("KeyboardInterrupt", ""));
        assert_eq!(parts(&format!("{HEAD}{FRAMES}a.b.<locals>.E: x")), some("a.b.<locals>.E", "x"));
        assert_eq!(parts("ValueError: no frames"), some("ValueError", "no frames"));
    }

    #[test]
    fn multiline_messages_and_notes_are_kept() {
        let text = format!("{HEAD}{FRAMES}app.Refused: one\n  two\nthree\n");
        assert_eq!(parts(&text), some("app.Refused", "one\n  two\nthree"));
        assert_eq!(parts(&format!("{HEAD}{FRAMES}E: \nnote")), some("E", "\nnote"));
        assert_eq!(parts(&format!("{HEAD}{FRAMES}E\nnote")), some("E", "note"));
    }

    #[test]
    fn chain_returns_last_exception() {
        let text = format!(
            "{HEAD}{FRAMES}KeyError: 'a'\n\nDuring handling of the above exception, another exception occurred:\n\n\
             {HEAD}{FRAMES}ValueError: b"
        );
        assert_eq!(parts(&text), some("ValueError", "b"));
    }

    #[test]
    fn group_returns_its_own_exception() {
        let text = format!(
            "{GROUP_HEAD}  |   File \"a.py\", line 1, in f\n  |     g()\n  | ExceptionGroup: two (2 sub-exceptions)\n  \
             +-+---------------- 1 ----------------\n    | ValueError: 1\n    +---------------- 2 ----------------\n    \
             | KeyError: 'k'\n    +------------------------------------\n"
        );
        assert_eq!(parts(&text), some("ExceptionGroup", "two (2 sub-exceptions)"));
    }

    #[test]
    fn other_text_returns_none() {
        for text in ["", "\n", "NoneType: None", "some words: here", HEAD, "1x: y", GROUP_HEAD] {
            assert_eq!(parts(text), None, "{text:?}");
        }
    }
}
