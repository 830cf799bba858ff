//! Tests of the language as a table: what each query means, which queries are errors, and that no
//! input causes a panic.

pub(crate) mod corpus;
pub(crate) mod generators;
pub(crate) mod oracle;
mod tokens;

use proptest::prelude::*;

use super::*;
use crate::limits::{QUERY_BYTES_MAX, QUERY_DEPTH_MAX, QUERY_TERMS_MAX};

/// 2026-11-21T10:00:00Z.
pub(crate) const NOW: i64 = 1_795_255_200_000_000_000;

fn parsed(query: &str) -> String {
    match Query::parse(query, NOW) {
        Ok(query) => query.to_string(),
        Err(error) => panic!("{}\n{error}", error.render(query)),
    }
}

fn check(expected: &[(&str, &str)]) {
    for (query, tree) in expected {
        assert_eq!(parsed(query), *tree, "{query}");
    }
}

#[test]
fn words_and_phrases() {
    check(&[
        ("", "*"),
        ("  \t\n", "*"),
        ("*", "*"),
        ("refused", r#"message:"refused""#),
        (r#""connection refused""#, r#"message:"connection refused""#),
        ("message:refused", r#"message:"refused""#),
        ("conn*", "message:conn*"),
        ("*nect*", "message:*nect*"),
        ("*tion", "message:*tion"),
        (r#""a*""#, r#"message:"a*""#),
        ("10.0.0.1:80 user-42", r#"(message:"10.0.0.1:80" message:"user-42")"#),
        ("12:30:00", r#"message:"12:30:00""#),
        ("app::views https://host/x?y=1", r#"(message:"app::views" message:"https://host/x?y=1")"#),
        ("a->b or and not", r#"(message:"a->b" message:"or" message:"and" message:"not")"#),
        (r#""say \"hi\" C:\\temp C:\temp""#, r#"message:"say \"hi\" C:\\temp C:\\temp""#),
        (r"C\D", r#"message:"C\\D""#),
        ("message:*", "message:*"),
        ("fo\"o b\"ar", r#"(message:"fo" message:"o b" message:"ar")"#),
        ("\u{fc}ber", "message:\"\u{fc}ber\""),
    ]);
}

#[test]
fn combinations() {
    check(&[
        ("a b OR c", r#"((message:"a" message:"b") OR message:"c")"#),
        ("a (b OR c)", r#"(message:"a" (message:"b" OR message:"c"))"#),
        ("a AND b", r#"(message:"a" message:"b")"#),
        ("a AND (b c)", r#"(message:"a" message:"b" message:"c")"#),
        ("a OR (b OR c) OR d", r#"(message:"a" OR message:"b" OR message:"c" OR message:"d")"#),
        ("-a NOT b", r#"(-message:"a" -message:"b")"#),
        ("--a", r#"message:"a""#),
        ("-(a b)", r#"-(message:"a" message:"b")"#),
        ("-(-(a))", r#"message:"a""#),
        ("- a", r#"-message:"a""#),
        ("((a))", r#"message:"a""#),
        ("-*", "-*"),
        ("a OR -b", r#"(message:"a" OR -message:"b")"#),
        ("(a)(b)", r#"(message:"a" message:"b")"#),
    ]);
}

#[test]
fn columns_and_their_aliases() {
    check(&[
        ("service:billing", r#"service:"billing""#),
        ("service=billing", r#"service:"billing""#),
        ("service!=billing", r#"-service:"billing""#),
        ("-service!=billing", r#"service:"billing""#),
        ("service:bill*", "service:bill*"),
        ("service:*ill*", "service:*ill*"),
        (r#"service:"bill*""#, r#"service:"bill*""#),
        ("service:*", "service:*"),
        ("logger:app.views name:app.views", r#"(logger:"app.views" logger:"app.views")"#),
        ("service.name:a host.name:b", r#"(service:"a" host:"b")"#),
        ("function:\"<module>\"", r#"function:"<module>""#),
        ("service:http://a:80", r#"service:"http://a:80""#),
        ("trace_id>=b7", r#"trace_id>="b7""#),
        ("id:17", "id:17"),
        ("id>17 id<=20", "(id>=18 (id>=1 id<=20))"),
        ("id>=0", "id>=1"),
        ("pid<10", "(process_id>=1 process_id<=9)"),
        ("line<1", "(line>=2 line<=1)"),
        ("line:99999999999999999999", "line>=9223372036854775807"),
        ("line>99999999999999999999", "(line>=2 line<=1)"),
        ("severity_number>=13", "severity_number>=13"),
    ]);
}

#[test]
fn groups_of_values() {
    check(&[
        ("service:(a OR b)", r#"(service:"a" OR service:"b")"#),
        ("-service:(a OR b)", r#"-(service:"a" OR service:"b")"#),
        ("service!=(a OR b)", r#"-(service:"a" OR service:"b")"#),
        ("k:(1 OR -(2 OR x*))", r#"("attributes.k":"1" OR -("attributes.k":"2" OR "attributes.k":x*))"#),
        (
            "level:(warn OR error) x",
            r#"(((severity_number>=13 severity_number<=16) OR (severity_number>=17 severity_number<=20)) message:"x")"#,
        ),
        ("message:(a \"b c\")", r#"(message:"a" message:"b c")"#),
        ("k:(*)", r#""attributes.k":*"#),
    ]);
}

#[test]
fn severities() {
    check(&[
        ("level:warn", "(severity_number>=13 severity_number<=16)"),
        ("levelname:WARNING", "(severity_number>=13 severity_number<=16)"),
        ("severity:warn2", "severity_number:14"),
        ("level>=warn", "severity_number>=13"),
        ("level>warn", "severity_number>=17"),
        ("level<=warn", "(severity_number>=1 severity_number<=16)"),
        ("level<warn", "(severity_number>=1 severity_number<=12)"),
        ("level<trace", "(severity_number>=2 severity_number<=1)"),
        ("level>fatal", "severity_number>=25"),
        ("level:13", "severity_number:13"),
        ("level>=17", "severity_number>=17"),
        ("level:*", "severity:*"),
        ("level:Audit", r#"severity:"Audit""#),
        ("level:\"Level 25\"", r#"severity:"Level 25""#),
    ]);
}

#[test]
fn times() {
    check(&[
        ("time>=1h", r#"time>="2026-11-21T09:00:00.000000000Z""#),
        ("time>-1h", r#"time>="2026-11-21T09:00:00.000000001Z""#),
        ("timestamp<now", r#"time<="2026-11-21T09:59:59.999999999Z""#),
        ("time<2026-11-21", r#"time<="2026-11-20T23:59:59.999999999Z""#),
        ("time<=2026-11-21", r#"time<="2026-11-21T23:59:59.999999999Z""#),
        ("time>2026-11-21", r#"time>="2026-11-22T00:00:00.000000000Z""#),
        ("time>=2026-11-21T10:00", r#"time>="2026-11-21T10:00:00.000000000Z""#),
        ("time>=\"2026-11-21 10:00\"", r#"time>="2026-11-21T10:00:00.000000000Z""#),
        ("time:2026-11-21T12:00:00+02:00", r#"time:"2026-11-21T10:00:00.000000000Z""#),
        (
            "time:2026-11-21",
            r#"(time>="2026-11-21T00:00:00.000000000Z" time<="2026-11-21T23:59:59.999999999Z")"#,
        ),
    ]);
}

#[test]
fn times_of_the_command_line() {
    let hour = 3_600_000_000_000;
    let expected = [
        ("now", NOW),
        (" now ", NOW),
        ("1h", NOW - hour),
        ("-1h", NOW - hour),
        ("now-1h", NOW - hour),
        ("1h30m", NOW - hour - hour / 2),
        ("2d", NOW - 48 * hour),
        ("1w", NOW - 7 * 24 * hour),
        ("15m", NOW - hour / 4),
        ("500ms", NOW - 500_000_000),
        ("2026-11-21", NOW - 10 * hour),
        ("2026-11-21T10:00:00Z", NOW),
        ("1795255200", NOW),
    ];
    for (text, nanoseconds) in expected {
        assert_eq!(time::parse(text, NOW), Ok(nanoseconds), "{text}");
    }
    for text in
        ["", "h", "1", "nowhere", "now1h", "1h30", "1x", "--1h", "2026-13-01", "2026-02-30", "99999999999w"]
    {
        let known = text == "1"; // a Unix time
        assert_eq!(time::parse(text, NOW).is_ok(), known, "{text}");
    }
    assert_eq!(time::parse("99999w", i64::MIN).unwrap_err().text, "99999w");
    assert!(
        time::parse("soon", NOW).unwrap_err().to_string().starts_with("`soon` is not a time; a time is like")
    );
}

#[test]
fn attributes() {
    check(&[
        ("user_id>1000", r#""attributes.user_id">"1000""#),
        ("http.status_code:500", r#""attributes.http.status_code":"500""#),
        (r#""odd name":x"#, r#""attributes.odd name":"x""#),
        (r#""odd \"name\"">="x y""#, r#""attributes.odd \"name\"">="x y""#),
        ("attributes.level:x", r#""attributes.level":"x""#),
        (r#""level":warn2"#, "severity_number:14"),
        ("attributes.attributes.k:x", r#""attributes.attributes.k":"x""#),
        ("Service:x", r#""attributes.Service":"x""#),
        (r#"k:"""#, r#""attributes.k":"""#),
        ("@kind/of-$it_:x", r#""attributes.@kind/of-$it_":"x""#),
        ("k:a:b=c", r#""attributes.k":"a:b=c""#),
        ("k:*x", r#""attributes.k":*x"#),
    ]);
}

#[test]
fn errors_report_range_and_problem() {
    let expected: [(&str, std::ops::Range<usize>, QueryProblem); 33] = [
        ("a \"b", 2..4, QueryProblem::UnclosedQuote),
        ("\"a\\\"", 0..4, QueryProblem::UnclosedQuote),
        ("a (b", 2..3, QueryProblem::UnclosedParenthesis),
        ("a) b", 1..2, QueryProblem::UnopenedParenthesis),
        ("main()", 4..6, QueryProblem::EmptyParentheses),
        ("service:()", 8..10, QueryProblem::EmptyParentheses),
        ("OR a", 0..2, QueryProblem::MissingLeft("OR")),
        ("a OR", 2..4, QueryProblem::MissingRight("OR")),
        ("a OR OR b", 2..4, QueryProblem::MissingRight("OR")),
        ("(a AND) b", 3..6, QueryProblem::MissingRight("AND")),
        ("a NOT", 2..5, QueryProblem::MissingRight("NOT")),
        ("a -", 2..3, QueryProblem::MissingRight("-")),
        ("a - OR b", 2..3, QueryProblem::MissingRight("-")),
        (">5", 0..1, QueryProblem::MissingName),
        ("=x", 0..1, QueryProblem::MissingName),
        ("\"\":x", 0..3, QueryProblem::MissingName),
        ("attributes.x: y", 0..13, QueryProblem::MissingValue),
        ("a service:", 2..10, QueryProblem::MissingValue),
        ("status:>500", 7..11, QueryProblem::OperatorInValue),
        ("\"\"", 0..2, QueryProblem::EmptyText),
        ("a **", 2..4, QueryProblem::EmptyText),
        ("service:\"\"", 8..10, QueryProblem::EmptyColumn("service")),
        ("line:0", 5..6, QueryProblem::ZeroColumn("line")),
        ("a*b", 0..3, QueryProblem::InnerStar),
        ("line:1*", 5..7, QueryProblem::StarInExactColumn("line")),
        ("line:x", 5..6, QueryProblem::NotANumber("line")),
        ("line>-1", 5..7, QueryProblem::NotANumber("line")),
        ("time>soon", 5..9, QueryProblem::NotATime),
        ("level>audit", 6..11, QueryProblem::UnknownSeverity),
        ("k>x*", 2..4, QueryProblem::StarHasNoOrder),
        ("message>x", 8..9, QueryProblem::MessageHasNoOrder),
        ("line>(1 OR 2)", 0..6, QueryProblem::GroupHasNoOrder),
        ("service:(a b:c)", 11..13, QueryProblem::FieldInGroup),
    ];
    for (query, range, problem) in expected {
        let error = Query::parse(query, NOW).expect_err(query);
        assert_eq!((error.range, error.problem), (range, problem), "{query}");
    }
}

/// Every line of the `query` blocks in the manual is a query.
#[test]
fn examples_of_manual_parse() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/query.md");
    let manual = std::fs::read_to_string(path).unwrap();
    let blocks = manual.split("```query\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let queries: Vec<&str> = blocks.flat_map(str::lines).collect();
    assert!(queries.len() >= 20, "{queries:?}");
    for query in queries {
        parsed(query);
    }
}

#[test]
fn rendered_error_marks_its_range() {
    let query = "\u{fc}ber\tline:\u{fc}ber -x";
    let error = Query::parse(query, NOW).unwrap_err();
    assert_eq!(error.render(query), "\u{fc}ber line:\u{fc}ber -x\n          ^^^^");
    assert_eq!(error.to_string(), "`line` is compared with whole numbers from 0 (at byte 11)");
    // Wide characters occupy two cells of a terminal.
    let query = "\u{6f22}\u{5b57} line:\u{6f22}";
    let error = Query::parse(query, NOW).unwrap_err();
    assert_eq!(error.render(query), format!("{query}\n          ^^"));
    assert_eq!(error.problem.hint(), "write it like `line:17` or `line>=17`");
}

#[test]
fn id_and_time_bounds_hold_for_every_match() {
    let ids = |query: &str| Query::parse(query, NOW).unwrap().id_bounds();
    assert_eq!(ids(""), (None, None));
    assert_eq!(ids("id>5"), (Some(6), None));
    assert_eq!(ids("x id>5 (id<=9 y)"), (Some(6), Some(9)));
    assert_eq!(ids("id:7"), (Some(7), Some(7)));
    assert_eq!(ids("id<5"), (Some(1), Some(4)));
    assert_eq!(ids("id>5 OR x"), (None, None));
    assert_eq!(ids("-id>5 line>9"), (None, None));
    let (first, last) = ids("id>9 id<5");
    assert!(first > last);
    let times = |query: &str| Query::parse(query, NOW).unwrap().time_bounds();
    assert_eq!(times("time>=1s x"), (Some(NOW - 1_000_000_000), None));
    assert_eq!(times("time<1s id:3"), (None, Some(NOW - 1_000_000_001)));
}

#[test]
fn queries_beyond_limits_are_rejected() {
    let problem = |query: &str| Query::parse(query, NOW).map_err(|error| error.problem).err();
    let nested = |depth| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(problem(&nested(QUERY_DEPTH_MAX)), None);
    assert_eq!(problem(&nested(QUERY_DEPTH_MAX + 1)), Some(QueryProblem::TooDeep));
    assert_eq!(problem(&"a ".repeat(QUERY_TERMS_MAX)), None);
    assert_eq!(problem(&"a ".repeat(QUERY_TERMS_MAX + 1)), Some(QueryProblem::TooManyTerms));
    assert_eq!(problem(&"\u{fc}".repeat(QUERY_BYTES_MAX / 2)), None);
    let long = format!("a{}", "\u{fc}".repeat(QUERY_BYTES_MAX / 2));
    let error = Query::parse(&long, NOW).unwrap_err();
    assert_eq!(error.problem, QueryProblem::TooLong(QUERY_BYTES_MAX + 1));
    assert!(error.render(&long).ends_with('^'));
}

#[test]
fn long_runs_of_one_character_are_handled() {
    let filled_with = |run: &str| run.repeat(QUERY_BYTES_MAX / run.len());
    for run in ["-", "(", ")", "\"", "*", "-(", "NOT ", "a OR ", "k:(", "a "] {
        assert!(Query::parse(&filled_with(run), NOW).is_err(), "{run}");
    }
    for run in [":", "a:", "\\", "a", "\u{fc}"] {
        assert!(Query::parse(&filled_with(run), NOW).is_ok(), "{run}");
    }
    let query = format!("{}a", "-".repeat(QUERY_BYTES_MAX - 1));
    assert_eq!(parsed(&query), r#"-message:"a""#);
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(query in "\\PC{0,200}", now in any::<i64>()) {
        check_error_is_sound(&query, now)?;
    }

    #[test]
    fn arbitrary_tokens_never_panic(
        tokens in proptest::collection::vec(
            prop::sample::select(&[
                "(", ")", "-", " ", "\"", "\\", "*", ":", "=", "!=", ">", "<=", "OR", "AND", "NOT", "a", "\u{fc}",
                "line", "time", "level", "attributes.", "1h", "0", "warn", "message", "::",
            ][..]),
            0..40,
        )
    ) {
        check_error_is_sound(&tokens.concat(), NOW)?;
    }
}

/// Checks that a query parses, and that its display parses as well, or else that its error can be
/// shown.
fn check_error_is_sound(query: &str, now: i64) -> Result<(), TestCaseError> {
    match Query::parse(query, now) {
        Ok(parsed) => {
            let again = Query::parse(&parsed.to_string(), now);
            prop_assert!(again.is_ok(), "{} displays as {}", query, parsed);
        }
        Err(error) => {
            prop_assert!(query.get(error.range.clone()).is_some(), "{:?} of {}", error.range, query);
            prop_assert!(error.render(query).contains('^'));
            prop_assert!(!error.problem.hint().is_empty());
        }
    }
    Ok(())
}
