//! The terminal at the end of the output: how large it is, and what it can show.

/// A terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Screen {
    /// Cells of a line.
    pub(super) columns: usize,
    /// Lines.
    pub(super) rows: usize,
    /// Whether it shows more than ASCII.
    pub(super) is_unicode: bool,
}

/// Narrower than this nothing can be laid out: lines then are broken by the terminal itself.
const COLUMNS_MIN: usize = 20;

impl Screen {
    /// The terminal that standard output is; one that does not know its size is taken for the classic 80 by 24.
    pub(super) fn of_stdout() -> Screen {
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
        let (columns, rows) = size.map_or((0, 0), |size| (size.ws_col.into(), size.ws_row.into()));
        Screen {
            columns: if columns == 0 { 80 } else { columns.max(COLUMNS_MIN) },
            rows: if rows == 0 { 24 } else { rows },
            is_unicode: is_unicode(|name| std::env::var(name).ok()),
        }
    }
}

/// Whether the locale's characters are those of Unicode: the first of the variables that is set decides, as in POSIX.
pub(super) fn is_unicode(variable: impl Fn(&str) -> Option<String>) -> bool {
    let mut names = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter();
    let locale = names.find_map(|name| variable(name).filter(|value| !value.is_empty()));
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_says_which_characters_there_are() {
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
