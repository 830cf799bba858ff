//! The terminal of the output: its size, and the characters that it can show.

/// A terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Screen {
    /// Cells of a line.
    pub(crate) columns: usize,
    /// Lines.
    pub(crate) rows: usize,
    /// Whether it shows more than ASCII.
    pub(crate) is_unicode: bool,
}

/// Minimum width of a layout. On a narrower terminal, the terminal itself breaks the lines.
const COLUMNS_MIN: usize = 20;

impl Screen {
    /// Returns the terminal of standard output; 80 by 24 is assumed for a terminal that does not
    /// report its size.
    pub(crate) fn of_stdout() -> Screen {
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
        let (columns, rows) = size.map_or((0, 0), |size| (size.ws_col.into(), size.ws_row.into()));
        Screen {
            columns: if columns == 0 { 80 } else { columns.max(COLUMNS_MIN) },
            rows: if rows == 0 { 24 } else { rows },
            is_unicode: is_unicode(|name| std::env::var(name).ok()),
        }
    }
}

/// Returns true if the locale uses Unicode characters: the first of the variables that is set
/// decides, as in POSIX.
pub(crate) fn is_unicode(variable: impl Fn(&str) -> Option<String>) -> bool {
    let mut names = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter();
    let locale = names.find_map(|name| variable(name).filter(|value| !value.is_empty()));
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locale_decides_whether_unicode_is_shown() {
        let of = |variables: &[(&str, &str)]| {
            is_unicode(|name| {
                variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).into())
            })
        };
        assert!(of(&[("LANG", "de_DE.UTF-8")]) && of(&[("LC_CTYPE", "C.utf8"), ("LANG", "C")]));
        assert!(of(&[("LC_ALL", ""), ("LANG", "C.UTF-8")]));
        assert!(
            !of(&[]) && !of(&[("LC_ALL", "C"), ("LANG", "en_GB.UTF-8")]) && !of(&[("LANG", "de_DE@euro")])
        );
    }
}
