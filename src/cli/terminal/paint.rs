//! Colours of a terminal (ECMA-48 SGR), if they are wanted.

/// Whether texts are coloured, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Without colours.
    Plain,
    /// With SGR sequences.
    Colours,
}

/// The style in which a text is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Without a style.
    Normal,
    /// Less prominent than the rest.
    Dim,
    /// More prominent than the rest.
    Bold,
    /// Text that matched the query.
    Match,
    /// The origin of a record.
    Cyan,
    /// One of several values.
    Magenta,
    /// Debug severities.
    Blue,
    /// A good state.
    Green,
    /// A warning.
    Yellow,
    /// An error.
    Red,
    /// A fatal error.
    BoldRed,
}

impl Paint {
    /// Decides by `--color` and, for `auto`, by the terminal and the variables that are common to
    /// many programs: `NO_COLOR` (no-color.org), `CLICOLOR` and `CLICOLOR_FORCE`
    /// (bixense.com/clicolors), `TERM=dumb`.
    pub(crate) fn choose(
        choice: &str,
        is_terminal: bool,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Paint {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let wanted = match choice {
            "always" => true,
            "never" => false,
            _ if set("NO_COLOR").is_some() => false,
            _ if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
            _ if set("CLICOLOR").as_deref() == Some("0") || set("TERM").as_deref() == Some("dumb") => false,
            _ => is_terminal,
        };
        if wanted { Paint::Colours } else { Paint::Plain }
    }

    /// Returns the sequences before and after a text of this style.
    pub(crate) fn around(self, style: Style) -> (&'static str, &'static str) {
        if self == Paint::Plain || style == Style::Normal {
            return ("", "");
        }
        let before = match style {
            Style::Normal => "",
            Style::Dim => "\x1b[2m",
            Style::Bold => "\x1b[1m",
            Style::Match => "\x1b[1;4m",
            Style::Cyan => "\x1b[36m",
            Style::Magenta => "\x1b[35m",
            Style::Blue => "\x1b[34m",
            Style::Green => "\x1b[32m",
            Style::Yellow => "\x1b[33m",
            Style::Red => "\x1b[31m",
            Style::BoldRed => "\x1b[1;31m",
        };
        (before, "\x1b[0m")
    }

    /// Returns a text in this style.
    pub(crate) fn text(self, style: Style, text: &str) -> String {
        let (before, after) = self.around(style);
        format!("{before}{text}{after}")
    }
}

/// Returns the style of an OpenTelemetry severity number.
pub(crate) fn of_severity(number: u8) -> Style {
    match number {
        1..=8 => Style::Blue,
        9..=12 => Style::Green,
        13..=16 => Style::Yellow,
        17..=20 => Style::Red,
        21..=24 => Style::BoldRed,
        _ => Style::Normal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(choice: &str, is_terminal: bool, variables: &[(&str, &str)]) -> bool {
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into());
        Paint::choose(choice, is_terminal, find) == Paint::Colours
    }

    #[test]
    fn colours_follow_flags_then_variables_then_terminal() {
        assert!(choose("auto", true, &[]) && !choose("auto", false, &[]));
        assert!(
            choose("always", false, &[("NO_COLOR", "1")])
                && !choose("never", true, &[("CLICOLOR_FORCE", "1")])
        );
        assert!(!choose("auto", true, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]));
        assert!(choose("auto", true, &[("NO_COLOR", "")]));
        assert!(
            choose("auto", false, &[("CLICOLOR_FORCE", "1")])
                && !choose("auto", false, &[("CLICOLOR_FORCE", "0")])
        );
        assert!(!choose("auto", true, &[("CLICOLOR", "0")]) && !choose("auto", true, &[("TERM", "dumb")]));
    }
}
