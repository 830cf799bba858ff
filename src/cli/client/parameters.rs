//! The parameters of a search, from the arguments of a command.

use clap::ArgMatches;

use crate::cli::arguments::text;
use crate::failure::Failure;
use crate::query;
use crate::record::time;

/// Returns the query: the words of the arguments, joined; empty if there are none.
pub(crate) fn query_text(matches: &ArgMatches) -> String {
    let words = matches.try_get_many::<String>("query").ok().flatten().unwrap_or_default();
    words.map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Returns the parameters that select records: the query, unless it is empty, and the range of
/// `--since` and `--until`.
pub(crate) fn search(
    query: String,
    matches: &ArgMatches,
    now: i64,
) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut parameters = Vec::new();
    if !query.is_empty() {
        parameters.push(("q", query));
    }
    for name in ["since", "until"] {
        parameters.extend(moment(name, matches, now)?.map(|time| (name, time)));
    }
    Ok(parameters)
}

/// Returns the time of the flag `--name`, in any of the forms that queries accept. A time relative
/// to `now` becomes absolute, so that all requests of a command have the same range.
pub(crate) fn moment(name: &str, matches: &ArgMatches, now: i64) -> Result<Option<String>, Failure> {
    let Some(text) = text(matches, name) else { return Ok(None) };
    match query::time::parse(text, now) {
        Ok(moment) => Ok(Some(time::format(moment))),
        Err(_) => Err(Failure::usage(format!("bad value for --{name}"))
            .because(format!("`{text}` is not a time"))
            .hint(query::time::FORMS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments;
    use crate::record::time::SECOND;

    #[test]
    fn moments_are_parsed_in_every_form() {
        let now = 1_795_255_200 * SECOND;
        let moment_of = |text: &str| {
            let matches = arguments::command().get_matches_from(["logboom", "query", "--since", text]);
            moment("since", matches.subcommand().unwrap().1, now)
        };
        for (text, ago) in
            [("now", 0), ("1h", 3600), ("1h30m", 5400), ("2026-11-21T10:00:00Z", 0), ("1795255200", 0)]
        {
            assert_eq!(moment_of(text).unwrap(), Some(time::format(now - ago * SECOND)));
        }
        let failure = moment_of("yesterday").unwrap_err().to_string();
        assert!(
            failure.starts_with("error: bad value for --since: `yesterday` is not a time\nhint: "),
            "{failure}"
        );
    }
}
