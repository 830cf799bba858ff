//! Highlights in messages the text that matched a query.

use clap::ArgMatches;

use super::paint::Style;
use super::wrap::LineWrapper;
use crate::cli::client::parameters::query_text;
use crate::query::{Expression, Field, Pattern, Query, Term, Test};
use crate::record::Column;
use crate::record::time;

/// The words and phrases that a query looks for in messages.
#[derive(Default)]
pub(crate) struct Highlight {
    patterns: Vec<Pattern>,
}

impl Highlight {
    /// Returns the patterns of a command's query. A query that cannot be parsed has no patterns:
    /// the server will report what is wrong.
    pub(crate) fn of(matches: &ArgMatches) -> Highlight {
        let mut highlight = Highlight::default();
        if let Ok(query) = Query::parse(&query_text(matches), time::now()) {
            highlight.collect(query.expression());
        }
        highlight
    }

    fn collect(&mut self, expression: &Expression) {
        match expression {
            Expression::All(inner) | Expression::Any(inner) => {
                inner.iter().for_each(|inner| self.collect(inner));
            }
            Expression::Term(Term { field: Field::Column(Column::Message), test: Test::Words(pattern) }) => {
                self.patterns.push(pattern.clone());
            }
            Expression::Not(_) | Expression::Term(_) => {}
        }
    }

    /// Adds a line in which the matches have another style than the rest.
    pub(crate) fn write(&self, line: &str, style: Style, wrapper: &mut LineWrapper) {
        let mut found: Vec<_> = self.patterns.iter().flat_map(|pattern| pattern.ranges_in(line)).collect();
        found.sort_by_key(|range| range.start);
        let mut start = 0;
        for word in line.split_inclusive(' ') {
            let end = start + word.len();
            let (mut pieces, mut at) = (Vec::new(), start);
            for range in found.iter().filter(|range| range.start < end && range.end > start) {
                let (first, last) = (range.start.max(at), range.end.min(end));
                if first < last {
                    pieces.extend([(style, &line[at..first]), (Style::Match, &line[first..last])]);
                    at = last;
                }
            }
            pieces.push((style, &line[at..end]));
            wrapper.keep_together(&pieces);
            start = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments;
    use crate::cli::terminal::paint::Paint;

    fn shown(query: &str, line: &str) -> String {
        let matches = arguments::command().get_matches_from(["logboom", "query", "--", query]);
        let mut wrapper = LineWrapper::new(Paint::Colours, 80, 0);
        Highlight::of(matches.subcommand().unwrap().1).write(line, Style::Normal, &mut wrapper);
        wrapper.finish().join("\n").replace("\x1b[1;4m", "<").replace("\x1b[0m", ">")
    }

    #[test]
    fn matches_of_the_query_are_highlighted() {
        assert_eq!(
            shown("refused level:error", "Refused by x; not refusedly"),
            "<Refused> by x; not refusedly"
        );
        assert_eq!(shown("\"not found\" OR fo*", "it was not found"), "it was <not found>");
        assert_eq!(shown("-refused (", "refused"), "refused");
        assert_eq!(shown("-refused", "refused"), "refused");
        assert_eq!(shown("*rd* carded", "xcardedx carded"), "xca<rd>edx <carded>");
        assert_eq!(shown("\u{fc}ber", "\u{fc}ber \u{fc}ber"), "<\u{fc}ber \u{fc}ber>");
    }
}
