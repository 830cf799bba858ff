//! Every match of a query has the tokens that the query requires.

use proptest::prelude::*;

use super::corpus::records;
use super::generators::{TERMS, queries, values};
use super::{NOW, oracle};
use crate::query::tokens::{self, NameTokens, Requirement, Token};
use crate::query::{Pattern, Query};
use crate::record::RecordRef;

fn tokens_of(record: &RecordRef<'_>) -> Vec<Token> {
    let mut found = Vec::new();
    tokens::of_record(record, &mut NameTokens::default(), |token| found.push(token));
    tokens::of_origin(&record.origin, |token| found.push(token));
    found
}

fn is_met(requirement: &Requirement, found: &[Token]) -> bool {
    match requirement {
        Requirement::Nothing => true,
        Requirement::Token(token) => found.contains(token),
        Requirement::All(inner) => inner.iter().all(|inner| is_met(inner, found)),
        Requirement::Any(inner) => inner.iter().any(|inner| is_met(inner, found)),
    }
}

/// Returns how many records match, and how many others have what is required.
fn check(query: &str, records: &[RecordRef<'_>]) -> (usize, usize) {
    let parsed = Query::parse(query, NOW).unwrap_or_else(|error| panic!("{query}: {error}"));
    let requirement = tokens::requirement(&parsed);
    let (mut matching, mut more) = (0, 0);
    for (record, id) in records.iter().zip(1..) {
        let matches = oracle::matches(parsed.expression(), id, record);
        let is_met = is_met(&requirement, &tokens_of(record));
        assert!(is_met || !matches, "{query} matches {record:?}, which lacks some of {requirement:?}");
        matching += usize::from(matches);
        more += usize::from(is_met && !matches);
    }
    (matching, more)
}

#[test]
fn matches_of_every_kind_of_term_have_required_tokens() {
    for term in TERMS {
        check(term, &records());
        check(&format!("-{term}"), &records());
    }
}

#[test]
fn terms_with_tokens_require_as_much_as_possible() {
    for query in [
        "refused",
        "10.0.0.1",
        "\u{fc}ber",
        "trace_id:17",
        "span_id:\u{fc}",
        "event_name:payment.refused",
        "service:billing-worker",
        "logger:app",
        "host:web-1",
        "line:17",
        "pid:4321",
        "k:abc",
        "k:true",
        "k:9223372036854775808",
        "http.x.status:*",
        "user_id:1000",
        "caf\u{e9}:\u{fc}",
        "service:b billing",
        "level>fatal",
    ] {
        let (matching, more) = check(query, &records());
        assert!(more <= 2, "{query}: {matching} match, {more} more have what is required");
    }
    assert_eq!(check("nowhere OR k:nothing", &records()), (0, 0));
    assert_eq!(tokens::requirement(&Query::parse("-a OR b", NOW).unwrap()), Requirement::Nothing);
}

#[test]
fn numbers_are_found_in_any_notation() {
    let numbers =
        ["0", "-0", "0.0", "-0.0", "17", "17.0", "1.7e1", "170E-1", "-2.5", "1e300", "9007199254740993"];
    let attributes: Vec<String> = numbers
        .iter()
        .flat_map(|number| [format!("{{\"k\":{number}}}"), format!("{{\"k\":\"{number}\"}}")])
        .collect();
    let records: Vec<RecordRef<'_>> =
        attributes.iter().map(|attributes| RecordRef { attributes, ..RecordRef::default() }).collect();
    for number in numbers {
        assert!(check(&format!("k:\"{number}\""), &records).0 >= 2, "{number}");
    }
}

#[test]
fn attributes_are_found_at_any_depth_after_any_escape() {
    let attributes = [
        r#"{"a":[{"k":17},"k",["k"]],"b":{"c":{"d.k":"\u0061\n\"{"}},"k":"x"}"#,
        r#"{"a" : "\\" , "k" :	-1 }"#,
        r#"{"\u006b":"\ud83d\ude00","k.k":"","":1}"#,
        "",
        "{}",
        "{\"k\"",
        "{\"k\":\"",
        "{\"k\":{\"",
    ];
    let records = attributes.map(|attributes| RecordRef { attributes, ..RecordRef::default() });
    for query in ["k:x", "b.c.d.k:*", "k:-1", "k:\"\u{1f600}\"", "k.k:\"\"", "k:17", "a:\"\\\\\""] {
        check(query, &records);
    }
}

#[test]
fn long_values_require_only_their_name() {
    let long = "\u{1}".repeat(300);
    for length in [254, 255, 256, 257, 300] {
        let text = &long[..length];
        let attributes = format!("{{\"k\":\"{}\"}}", "\\u0001".repeat(length));
        let record = RecordRef { attributes: &attributes, ..RecordRef::default() };
        assert_eq!(check(&format!("k:\"{text}\""), &[record]), (1, 0), "{length}");
    }
}

proptest! {
    #[test]
    fn matches_of_random_queries_have_required_tokens(query in queries()) {
        if Query::parse(&query, NOW).is_ok() {
            check(&query, &records());
        }
    }

    #[test]
    fn matches_of_random_values_have_required_tokens(query in values()) {
        check(&query, &records());
    }

    #[test]
    fn text_with_pattern_has_words_of_pattern(
        message in "[aAb_ .\u{fc}\u{2019}]{0,12}",
        text in "[aAb_ .\u{fc}\u{2019}]{1,3}",
        open_start in any::<bool>(),
        open_end in any::<bool>(),
    ) {
        let pattern = Pattern { text, open_start, open_end };
        if oracle::holds_words(&message, &pattern) {
            let found = tokens_of(&RecordRef { message: &message, ..RecordRef::default() });
            prop_assert!(is_met(&tokens::of_pattern(&pattern), &found), "{:?} in {}", pattern, message);
        }
    }

    #[test]
    fn arbitrary_attributes_never_break_their_tokens(json in "[{}\\[\\]\",:\\\\a1.e \u{fc}]{0,30}") {
        tokens_of(&RecordRef { attributes: &json, ..RecordRef::default() });
    }
}
