//! The parameters of a request: each is asked for by its name, and what nobody asked for is refused.

use std::borrow::Cow;

use super::cursor::Cursor;
use super::{Refusal, bad};
use crate::query::{self, Field, Query, QueryError};
use crate::record::ColumnSet;
use crate::record::time;
use crate::server;
use crate::store::Search;

/// What stands behind the `?` of a request.
pub(super) struct Parameters<'a> {
    given: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    known: Vec<&'static str>,
}

impl<'a> Parameters<'a> {
    /// Of a request's query string.
    pub(super) fn parse(query: &'a str) -> Parameters<'a> {
        Parameters { given: form_urlencoded::parse(query.as_bytes()).collect(), known: Vec::new() }
    }

    /// What is given for a parameter; of several with that name, the last.
    fn given(&mut self, name: &'static str) -> Option<Cow<'a, str>> {
        self.known.push(name);
        let mut text = None;
        while let Some(at) = self.given.iter().position(|(own, _)| own == name) {
            text = Some(self.given.remove(at).1);
        }
        text
    }

    /// The text of a parameter, unless it is empty.
    pub(super) fn text(&mut self, name: &'static str) -> Option<Cow<'a, str>> {
        self.given(name).filter(|text| !text.is_empty())
    }

    /// A whole number from 0.
    pub(super) fn number(&mut self, name: &'static str) -> Result<Option<u64>, Refusal> {
        self.given(name).map(|text| number(name, &text)).transpose()
    }

    /// One of some words; the first of them unless given.
    pub(super) fn word(
        &mut self,
        name: &'static str,
        words: &[&'static str],
    ) -> Result<&'static str, Refusal> {
        let Some(text) = self.given(name) else { return Ok(words[0]) };
        let word = words.iter().find(|word| **word == text).copied();
        word.ok_or_else(|| {
            bad(&format!("the {name} `{text}` is not known"), &format!("{} are", listed(words)))
        })
    }

    /// Where a page begins or ends.
    pub(super) fn cursor(&mut self) -> Result<Option<Cursor>, Refusal> {
        let Some(text) = self.text("cursor") else { return Ok(None) };
        let hint = "it takes `next_cursor` or `previous_cursor` of an answer";
        text.parse().map(Some).map_err(|_| bad(&format!("the parameter `cursor` is `{text}`"), hint))
    }

    /// Names of fields, with commas between them.
    pub(super) fn fields(&mut self, name: &'static str) -> Result<Option<Vec<(String, Field)>>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let named = |name: &str| Ok((name.to_owned(), field(name)?));
        text.split(',').map(named).collect::<Result<_, _>>().map(Some)
    }

    /// What is searched for: `q`, `since` and `until`; everything of it, the newest first.
    pub(super) fn search(&mut self) -> Result<Search, Refusal> {
        let now = time::now();
        let text = self.text("q").unwrap_or_default();
        let query = Query::parse(&text, now).map_err(|error| not_understood(&text, &error))?;
        let mut moment = |name| match self.text(name) {
            None => Ok(None),
            Some(text) => query::time::parse(&text, now)
                .map(Some)
                .map_err(|error| bad(&error.to_string(), query::time::FORMS)),
        };
        let since = moment("since")?;
        let until = moment("until")?;
        let until = until.map(|until| until.saturating_sub(1)); // days and hours follow each other
        let (lower, upper) = query.time_bounds();
        Ok(Search {
            time_min: since.unwrap_or(i64::MIN).max(lower.unwrap_or(i64::MIN)),
            time_max: until.unwrap_or(i64::MAX).min(upper.unwrap_or(i64::MAX)),
            ..everything(query)
        })
    }

    /// Refuses the request if there are parameters that nobody has asked for.
    pub(super) fn end(self) -> Result<(), Refusal> {
        match self.given.first() {
            None => Ok(()),
            Some((name, _)) => {
                let hint = match &*self.known {
                    [] => "none is known here".to_owned(),
                    [one] => format!("{one} is known"),
                    known => format!("{} are known", listed(known)),
                };
                Err(bad(&format!("there is no parameter `{name}`"), &hint))
            }
        }
    }
}

/// All that matches a query.
pub(super) fn everything(query: Query) -> Search {
    let (first, last) = query.id_bounds();
    let ids = first.unwrap_or(0)..last.map_or(i64::MAX as u64, |last| last.saturating_add(1));
    Search { query, ids, time_min: i64::MIN, time_max: i64::MAX, descending: true, fields: ColumnSet::ALL }
}

/// A whole number from 0 that has a name.
pub(super) fn number(name: &str, text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| bad(&format!("the parameter `{name}` is `{text}`"), "it takes a whole number"))
}

/// The field of a name.
pub(super) fn field(name: &str) -> Result<Field, Refusal> {
    Field::of_name(name)
        .ok_or_else(|| bad("a field has no name", "`service`, or the name of an attribute, is one"))
}

/// `a, b and c`.
fn listed(words: &[&str]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        words => words.concat(),
    }
}

/// What is wrong with a query, and where: in characters, for whoever marks it.
pub(super) fn not_understood(text: &str, error: &QueryError) -> Refusal {
    let characters = |bytes: usize| text.get(..bytes).unwrap_or(text).chars().count();
    let position = characters(error.range.start)..characters(error.range.end);
    Box::new(server::problem_at(
        "the query is not understood",
        &format!("{}\n{}", error.problem, error.render(text)),
        &error.problem.hint(),
        position,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(query: &str) -> (i64, i64) {
        let search = Parameters::parse(query).search().unwrap();
        (search.time_min, search.time_max)
    }

    #[test]
    fn days_that_follow_each_other_have_no_moment_in_common() {
        let (_, first_day) = times("until=2026-11-21");
        let (second_day, _) = times("since=2026-11-21");
        assert_eq!((first_day, second_day), (1_795_219_199_999_999_999, 1_795_219_200 * time::SECOND));
        assert_eq!(times(""), (i64::MIN, i64::MAX));
    }

    #[test]
    fn what_nobody_asked_for_is_refused() {
        let mut parameters = Parameters::parse("a=1&b=2&a=3&c=");
        assert_eq!(parameters.number("a").unwrap(), Some(3));
        assert_eq!(parameters.text("c"), None);
        assert!(parameters.end().is_err());
        assert!(Parameters::parse("limit=").number("limit").is_err());
        assert!(Parameters::parse("order=").word("order", &["desc", "asc"]).is_err());
        assert_eq!(listed(&["q", "since", "until"]), "q, since and until");
    }
}
