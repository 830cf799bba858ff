//! The parameters of a request: each is read by its name, and unknown parameters are rejected.

use std::borrow::Cow;

use super::cursor::Cursor;
use crate::net::http;
use crate::query::{self, Field, Query, QueryError};
use crate::record::time;
use crate::store::Search;
use crate::view::{Refusal, bad};

/// The query string of a request, decoded.
pub(in crate::view) struct Parameters<'a> {
    given: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    known: Vec<&'static str>,
}

impl<'a> Parameters<'a> {
    /// Parses the query string of a request.
    pub(in crate::view) fn parse(query: &'a str) -> Parameters<'a> {
        Parameters { given: form_urlencoded::parse(query.as_bytes()).collect(), known: Vec::new() }
    }

    /// Returns the value of a parameter; of several with that name, the last.
    fn given(&mut self, name: &'static str) -> Option<Cow<'a, str>> {
        self.known.push(name);
        let mut text = None;
        while let Some(at) = self.given.iter().position(|(own, _)| own == name) {
            text = Some(self.given.remove(at).1);
        }
        text
    }

    /// Returns the text of a parameter, unless it is empty.
    pub(in crate::view) fn text(&mut self, name: &'static str) -> Option<Cow<'a, str>> {
        self.given(name).filter(|text| !text.is_empty())
    }

    /// Returns the value of a parameter that is a whole number from 0.
    pub(in crate::view) fn number(&mut self, name: &'static str) -> Result<Option<u64>, Refusal> {
        self.given(name).map(|text| number(name, &text)).transpose()
    }

    /// Returns the value of a parameter that is one of these words; the first word if the parameter
    /// is missing.
    pub(in crate::view) fn word(
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

    /// Returns the cursor at which a page begins or ends.
    pub(in crate::view) fn cursor(&mut self) -> Result<Option<Cursor>, Refusal> {
        let Some(text) = self.text("cursor") else { return Ok(None) };
        let hint = "it takes `next_cursor` or `previous_cursor` of an answer";
        text.parse().map(Some).map_err(|_| bad(&format!("the parameter `cursor` is `{text}`"), hint))
    }

    /// Returns the fields of a parameter that contains names separated by commas.
    pub(in crate::view) fn fields(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Vec<(String, Field)>>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let named = |name: &str| Ok((name.to_owned(), field(name)?));
        text.split(',').map(named).collect::<Result<_, _>>().map(Some)
    }

    /// Returns the search that `q`, `since` and `until` describe, with all columns, the newest
    /// record first.
    pub(in crate::view) fn search(&mut self) -> Result<Search, Refusal> {
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
        // `until` is exclusive, so that consecutive days and hours do not overlap.
        let until = until.map(|until| until.saturating_sub(1));
        let search = Search::new(query);
        Ok(Search {
            time_min: since.map_or(search.time_min, |since| since.max(search.time_min)),
            time_max: until.map_or(search.time_max, |until| until.min(search.time_max)),
            ..search
        })
    }

    /// Rejects the request if it has parameters that were not read.
    pub(in crate::view) fn end(self) -> Result<(), Refusal> {
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

/// Parses a whole number from 0; `name` is for the error.
pub(in crate::view) fn number(name: &str, text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| bad(&format!("the parameter `{name}` is `{text}`"), "it takes a whole number"))
}

/// Returns the field with a name.
pub(in crate::view) fn field(name: &str) -> Result<Field, Refusal> {
    Field::of_name(name)
        .ok_or_else(|| bad("a field has no name", "`service`, or the name of an attribute, is one"))
}

/// Joins words: `a, b and c`.
fn listed(words: &[&str]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        words => words.concat(),
    }
}

/// Describes what is wrong with a query, and where: in characters, for clients that mark the
/// position.
pub(in crate::view) fn not_understood(text: &str, error: &QueryError) -> Refusal {
    let characters = |bytes: usize| text.get(..bytes).unwrap_or(text).chars().count();
    let position = characters(error.range.start)..characters(error.range.end);
    http::problem_at(
        "invalid query",
        &format!("{}\n{}", error.problem, error.render(text)),
        &error.problem.hint(),
        position,
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(query: &str) -> (i64, i64) {
        let search = Parameters::parse(query).search().unwrap();
        (search.time_min, search.time_max)
    }

    #[test]
    fn consecutive_days_do_not_overlap() {
        let (_, first_day) = times("until=2026-11-21");
        let (second_day, _) = times("since=2026-11-21");
        assert_eq!((first_day, second_day), (1_795_219_199_999_999_999, 1_795_219_200 * time::SECOND));
        assert_eq!(times(""), (i64::MIN, i64::MAX));
    }

    #[test]
    fn unknown_parameter_is_rejected() {
        let mut parameters = Parameters::parse("a=1&b=2&a=3&c=");
        assert_eq!(parameters.number("a").unwrap(), Some(3));
        assert_eq!(parameters.text("c"), None);
        assert!(parameters.end().is_err());
        assert!(Parameters::parse("limit=").number("limit").is_err());
        assert!(Parameters::parse("order=").word("order", &["desc", "asc"]).is_err());
        assert_eq!(listed(&["q", "since", "until"]), "q, since and until");
    }
}
