//! Extracts the type and the message of an exception from its stack trace.

/// Returns the type and the message if the text is a Python traceback, or a stack trace in the
/// format of Java and Node.js.
pub(super) fn type_and_message(stack: &str) -> Option<(&str, &str)> {
    let stack = stack.trim_end();
    let line = if is_python(stack) { last_line_of_python(stack)? } else { first_line_before_frames(stack)? };
    let (kind, message) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
    is_type(kind).then_some((kind, message))
}

/// Returns true if the text looks like the output of `traceback.format_exception`.
pub(super) fn is_python(stack: &str) -> bool {
    stack.contains("Traceback (most recent call last")
}

/// Returns the last line that is not indented, and is not part of a message of several lines: the
/// first such line after the last frame.
fn last_line_of_python(stack: &str) -> Option<&str> {
    let start = stack.rfind("Traceback (most recent call last")?;
    stack[start..]
        .lines()
        .skip(1)
        .find(|line| !line.is_empty() && !line.starts_with([' ', '\t', '\u{2502}', '|', '+']))
}

fn first_line_before_frames(stack: &str) -> Option<&str> {
    let (first, rest) = stack.split_once('\n')?;
    rest.lines().any(|line| line.trim_start().starts_with("at ")).then_some(first)
}

/// Returns true for a dotted name, such as `builtins.ValueError`, `java.io.IOException` or
/// `TypeError`.
fn is_type(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '$' | '<' | '>'))
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_traceback_ends_with_type_and_message() {
        let stack = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    x()\nKeyError: 'a'\n\n\
            During handling of the above exception, another exception occurred:\n\n\
            Traceback (most recent call last):\n  File \"a.py\", line 3, in f\n    y()\n\
            app.errors.Refused: card: no\nsecond line\n";
        assert_eq!(type_and_message(stack), Some(("app.errors.Refused", "card: no")));
        let bare = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyboardInterrupt";
        assert_eq!(type_and_message(bare), Some(("KeyboardInterrupt", "")));
    }

    #[test]
    fn other_stack_begins_with_type_and_message() {
        let node = "TypeError: x is not a function\n    at pay (/srv/app.js:3:5)\n    at main";
        assert_eq!(type_and_message(node), Some(("TypeError", "x is not a function")));
        let java = "java.io.IOException: closed\n\tat a.B.c(B.java:1)";
        assert_eq!(type_and_message(java), Some(("java.io.IOException", "closed")));
    }

    #[test]
    fn other_text_has_no_exception() {
        for text in [
            "",
            "no stack",
            "a sentence: with colon\n  at home",
            "Traceback (most recent call last):\n  File",
        ] {
            assert_eq!(type_and_message(text), None, "{text}");
        }
    }
}
