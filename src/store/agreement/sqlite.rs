//! SQLite finds what the oracle finds.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rusqlite::{Connection, params_from_iter};

use crate::limits::{QUERY_DEPTH_MAX, QUERY_TERMS_MAX};
use crate::query::attribute::{self, Comparison};
use crate::query::tests::corpus::records;
use crate::query::tests::generators::{TERMS, queries, quoted, values};
use crate::query::tests::{NOW, oracle};
use crate::query::{EncodedPattern, Pattern, Query};
use crate::record::{Origin, RecordRef};
use crate::store::sql::{Condition, SqlParameter};
use crate::store::sqlite::{condition, in_memory};

/// Creates databases with the records of the corpus: one with all names in dictionaries, and one
/// with none.
fn databases() -> [Connection; 2] {
    [true, false].map(|are_in_dictionaries| database_of(&records(), are_in_dictionaries))
}

fn database_of(records: &[RecordRef<'_>], are_in_dictionaries: bool) -> Connection {
    let connection = in_memory::create().unwrap();
    in_memory::fill(&connection, records, are_in_dictionaries).unwrap();
    let in_rows =
        "SELECT count(*) FROM record WHERE sender IS NULL AND (typeof(service) = 'text' OR process_id > 0)";
    let in_rows: i64 = connection.query_row(in_rows, [], |row| row.get(0)).unwrap();
    assert!(!are_in_dictionaries || in_rows == 0);
    connection
}

fn stored(connection: &Connection, query: &Query) -> Vec<u64> {
    let Condition { sql, parameters } = condition::condition(query, 0);
    let nulls = format!("SELECT count(*) FROM record AS r WHERE ({sql}) IS NULL");
    let count: i64 = connection.query_row(&nulls, params_from_iter(&parameters), |row| row.get(0)).unwrap();
    assert_eq!(count, 0, "NULL for {query}: {sql}");
    let mut statement =
        connection.prepare(&format!("SELECT r.id FROM record AS r WHERE {sql} ORDER BY r.id")).unwrap();
    let ids = statement.query_map(params_from_iter(&parameters), |row| row.get::<_, i64>(0)).unwrap();
    ids.map(|id| id.unwrap() as u64).collect()
}

fn expected(query: &Query) -> Vec<u64> {
    oracle::expected(query, &records())
}

fn check(databases: &[Connection; 2], query: &str) {
    let parsed = Query::parse(query, NOW).unwrap_or_else(|error| panic!("{}\n{error}", error.render(query)));
    let expected = expected(&parsed);
    let sql = condition::condition(&parsed, 0);
    for connection in databases {
        assert_eq!(stored(connection, &parsed), expected, "{query}\n{sql:?}");
    }
    let found = |id: &u64| parsed.matches(*id, &records()[*id as usize - 1]);
    assert_eq!(
        (1..=records().len() as u64).filter(found).collect::<Vec<_>>(),
        expected,
        "{query} without SQL"
    );
    let displayed = Query::parse(&parsed.to_string(), NOW).unwrap();
    assert_eq!(stored(&databases[0], &displayed), expected, "{query} displayed as {parsed}");
    let is_within = |id: u64, (first, last): (Option<u64>, Option<u64>)| {
        first.is_none_or(|first| first <= id) && last.is_none_or(|last| id <= last)
    };
    assert!(expected.iter().all(|id| is_within(*id, parsed.id_bounds())), "{query}");
    let (first, last) = parsed.time_bounds();
    let times = expected.iter().map(|id| records()[*id as usize - 1].timestamp);
    assert!(
        times
            .into_iter()
            .all(|time| first.is_none_or(|first| first <= time) && last.is_none_or(|last| time <= last))
    );
}

/// Returns the texts of the messages that a query finds.
fn messages(query: &str) -> Vec<&'static str> {
    let databases = databases();
    let ids = stored(&databases[0], &Query::parse(query, NOW).unwrap());
    ids.iter().map(|id| records()[*id as usize - 1].message).collect()
}

fn attributes(query: &str) -> Vec<&'static str> {
    let databases = databases();
    let ids = stored(&databases[0], &Query::parse(query, NOW).unwrap());
    ids.iter().map(|id| records()[*id as usize - 1].attributes).collect()
}

#[test]
fn words_match_only_at_word_ends() {
    assert_eq!(
        messages("\"connection refused\""),
        ["connection refused", "Connection Refused by 10.0.0.1:80"]
    );
    assert_eq!(messages("10.0.0.1"), ["Connection Refused by 10.0.0.1:80"]);
    assert_eq!(messages("user-42"), ["user-42 logged in", "super-user-42"]);
    assert_eq!(messages("fail"), ["line one\nfail\tline two", "FAIL"]);
    assert_eq!(messages("fail*"), ["line one\nfail\tline two", "failed failure", "FAIL"]);
    assert_eq!(
        messages("*connection"),
        [
            "connection refused",
            "Connection Refused by 10.0.0.1:80",
            "refused: connection",
            "reconnection refused_ x"
        ]
    );
    assert_eq!(messages("ber"), ["ber after \u{fc}ber", "\u{2018}ber\u{2019} in curly quotes"]);
    assert_eq!(messages("\u{fc}ber"), ["\u{fc}ber alles", "ber after \u{fc}ber"]);
    assert_eq!(messages("\u{672c}"), [""; 0]);
    assert_eq!(messages("*\u{672c}*"), ["\u{65e5}\u{672c}\u{8a9e}"]);
    assert_eq!(messages("\"a*b\""), ["a*b literally"]);
    assert_eq!(messages("aab"), ["aaaa aaab aab"]);
    assert_eq!(messages("inside"), ["nul\0inside"]);
}

#[test]
fn attributes_compare_by_text_and_by_number() {
    assert_eq!(attributes("k:17"), [ATTRIBUTE_17, r#"{"k":"17","user_id":"1001"}"#, r#"{"k":17.0}"#, SPACED]);
    assert_eq!(attributes("k:17.0"), [ATTRIBUTE_17, r#"{"k":17.0}"#, SPACED, r#"{"k":"17.0"}"#]);
    assert_eq!(attributes("k:true"), [r#"{"k":true}"#, r#"{"k":"true"}"#]);
    assert_eq!(attributes("k:null"), [r#"{"k":null}"#]);
    assert_eq!(attributes("k:2"), [r#"{"k":1,"k":2}"#]);
    assert_eq!(attributes("k:1"), [""; 0]);
    assert_eq!(attributes("k:9223372036854775808"), [r#"{"k":9223372036854775808}"#]);
    assert_eq!(
        attributes("user_id>99"),
        [ATTRIBUTE_17, r#"{"k":"17","user_id":"1001"}"#, r#"{"k":"abc","user_id":1e300}"#]
    );
    assert_eq!(attributes("user_id<0"), [r#"{"k":[17,"}"],"user_id":-5}"#]);
    assert_eq!(attributes("k>abc k<b"), [r#"{"k":"abd"}"#]);
    assert_eq!(attributes("http.status:404"), [r#"{"http":{"status":404,"x":[{"status":1}]}}"#]);
    assert_eq!(attributes("k.k:17"), [r#"{"k":{"k":17}}"#]);
    assert_eq!(attributes("http.x.status:*"), [""; 0]);
    assert_eq!(attributes("k:\"\""), [r#"{"k":""}"#]);
}

const ATTRIBUTE_17: &str = r#"{"k":17,"user_id":1000}"#;
const SPACED: &str = r#"{ "k" : 1.7e1 , "user_id" : 99 }"#;

#[test]
fn sqlite_agrees_on_every_kind_of_term() {
    let databases = databases();
    for term in TERMS {
        check(&databases, term);
        check(&databases, &format!("-{term}"));
    }
}

#[test]
fn sqlite_agrees_on_random_queries() {
    let databases = databases();
    let mut runner = TestRunner::default();
    let result = runner.run(&queries(), |query| {
        if Query::parse(&query, NOW).is_ok() {
            check(&databases, &query);
        }
        Ok(())
    });
    result.unwrap();
}

#[test]
fn sqlite_agrees_on_random_values() {
    let databases = databases();
    let mut runner = TestRunner::default();
    let result = runner.run(&values(), |query| {
        check(&databases, &query);
        Ok(())
    });
    result.unwrap();
}

/// Generates texts in which the terms sometimes find something.
fn texts() -> impl Strategy<Value = String> {
    const KNOWN: &[&str] = &[
        "",
        "billing",
        "bill",
        "app",
        "health",
        "web-1",
        "17",
        "MainThread",
        "<module>",
        "WARNING",
        "AUDIT",
        "Audit",
        "\u{e4}udit",
        "/srv/app/views.py",
        "payment.refused",
        "\u{fc}",
        "connection refused",
        "Refused: user-42",
    ];
    prop_oneof![prop::sample::select(KNOWN).prop_map(String::from), "[a-cxs17 ._\u{fc}-]{0,8}", "\\PC{0,6}",]
}

/// Generates the text of attributes, or an empty text.
fn attributes_of_k() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        (-20i64..2000).prop_map(|number| number.to_string()),
        "-?[1-9][0-9]{0,2}(\\.[0-9]{1,2})?(e[0-9])?",
        texts().prop_map(|text| serde_json::Value::from(text).to_string()),
        prop::sample::select(&["true", "null", "[17]", "{\"status\":404}", "{\"k\":17}"][..])
            .prop_map(String::from),
    ];
    let name = prop::sample::select(&["k", "user_id", "http", "http.status", "level", "k.k"][..]);
    prop::collection::vec((name, value), 0..4).prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        if members.is_empty() { String::new() } else { format!("{{{}}}", members.join(",")) }
    })
}

/// For random queries, a tail finds the same in random records as SQLite does.
#[test]
fn tail_and_sqlite_agree_on_random_records() {
    let numbers = (0u8..25, -3i64..4, prop::sample::select(&[0u32, 1, 16, 17, 18, 4321][..]));
    let record = (prop::collection::vec(texts(), 11), attributes_of_k(), numbers);
    let mut runner = TestRunner::default();
    let result = runner.run(&(prop::collection::vec(record, 1..8), queries()), |(parts, query)| {
        let Ok(query) = Query::parse(&query, NOW) else { return Ok(()) };
        let records: Vec<_> = parts
            .iter()
            .map(|(texts, attributes, (severity_number, hours, number))| RecordRef {
                timestamp: NOW + hours * 3_600_000_000_000,
                observed_timestamp: NOW,
                severity_number: *severity_number,
                origin: Origin {
                    service: &texts[0],
                    logger: &texts[1],
                    host: &texts[2],
                    severity_text: &texts[3],
                    file: &texts[4],
                    line: *number,
                    function: &texts[5],
                    process_id: *number,
                    thread: &texts[6],
                },
                message: &texts[7],
                trace_id: &texts[8],
                span_id: &texts[9],
                event_name: &texts[10],
                attributes,
            })
            .collect();
        let ids = (1..).zip(&records).filter(|(id, record)| query.matches(*id, record)).map(|(id, _)| id);
        let ids = ids.collect::<Vec<u64>>();
        for are_in_dictionaries in [true, false] {
            let connection = database_of(&records, are_in_dictionaries);
            prop_assert_eq!(&ids, &stored(&connection, &query), "{}", query);
        }
        Ok(())
    });
    result.unwrap();
}

#[test]
fn query_text_never_becomes_sql() {
    let databases = databases();
    let plain =
        condition::condition(&Query::parse("name_:value service:value trace_id:value", NOW).unwrap(), 0);
    for text in
        ["' OR 1=1 --", "'; DROP TABLE record; --", "\" $.k", "\\", "?", "?1", ":a", "$\"][", "\0", "%_"]
    {
        let quoted = quoted(text);
        let query =
            Query::parse(&format!("{quoted}:{quoted} service:{quoted} trace_id:{quoted}"), NOW).unwrap();
        let condition = condition::condition(&query, 0);
        assert_eq!(condition.sql, plain.sql, "{text}");
        assert_eq!(
            condition.parameters.iter().filter(|value| **value == SqlParameter::Text(text.into())).count(),
            5
        );
        assert_eq!(stored(&databases[0], &query), [0; 0]);
    }
    assert_eq!(attributes(&format!("{}:x", quoted("odd \"name\" \\ $.k '"))).len(), 1);
    assert_eq!(stored(&databases[0], &Query::parse("", NOW).unwrap()).len(), records().len());
}

#[test]
fn conditions_join_what_they_can() {
    let sql = |query| condition::condition(&Query::parse(query, NOW).unwrap(), 0).sql;
    let in_row = |column| {
        format!(
            "CASE typeof(r.{column}) WHEN 'integer' THEN (SELECT word.text FROM word WHERE word.id = \
             ((r.id - 1) >> 18 << 16) + r.{column}) ELSE r.{column} END"
        )
    };
    assert_eq!(sql(""), "TRUE");
    assert_eq!(sql("id>9 id<=5"), "(r.id >= ? AND r.id BETWEEN ? AND ?)");
    assert_eq!(sql("a b \"c d\""), "matches_words(r.message, ?, ?, ?)");
    assert_eq!(sql("a OR b"), "(matches_words(r.message, ?) OR matches_words(r.message, ?))");
    assert_eq!(
        sql("k:1 a service:x -logger:(y OR z) level>=warn"),
        "((r.severity & 31) >= ? AND CASE WHEN r.sender IS NOT NULL THEN r.sender IN (SELECT sender.id - 0 FROM sender \
         WHERE sender.id BETWEEN 0 AND 65535 AND sender.service = ?) ELSE (SERVICE = ?) IS TRUE END AND \
         CASE WHEN r.place IS NOT NULL THEN r.place IN (SELECT place.id - 0 FROM place WHERE place.id BETWEEN 0 AND 65535 \
         AND (((place.logger = ? OR place.logger = ?)) IS NOT TRUE)) ELSE ((((LOGGER = ? OR LOGGER = ?)) IS NOT TRUE)) \
         IS TRUE END AND matches_words(r.message, ?) AND attribute_matches(r.attributes, ?, '=', ?))"
            .replace("SERVICE", &in_row("service"))
            .replace("LOGGER", &in_row("logger"))
    );
    let numbers = |query| condition::condition(&Query::parse(query, NOW).unwrap(), 3).sql;
    assert!(
        numbers("host:x")
            .contains("sender.id - 196608 FROM sender WHERE sender.id BETWEEN 196608 AND 262143")
    );
    assert_eq!(sql("trace_id:17"), "(r.trace_id IS NOT NULL AND r.trace_id = ?)");
    let packed = "(r.trace_id IS NOT NULL AND r.trace_id IN (unhex(?), ?))";
    assert_eq!(sql("trace_id:0af7651916cd43dd8448eb211c80319c"), packed);
}

#[test]
fn largest_queries_run() {
    let databases = databases();
    let (open, close) = ("(a service:x OR -".repeat(QUERY_DEPTH_MAX - 1), ")".repeat(QUERY_DEPTH_MAX - 1));
    check(&databases, &format!("{open}b{close}"));
    check(&databases, &vec!["a"; QUERY_TERMS_MAX].join(" "));
    check(&databases, &vec!["k:1"; QUERY_TERMS_MAX].join(" OR "));
    let (open, close) =
        ("-(-k:*".to_owned() + &" (-k:x*".repeat(QUERY_DEPTH_MAX - 1), ")".repeat(QUERY_DEPTH_MAX));
    check(&databases, &(open + &close));
}

#[test]
fn invalid_function_calls_are_errors() {
    let databases = databases();
    for call in [
        "matches_words()",
        "matches_words('a', '')",
        "matches_words('a', NULL)",
        "matches_text('a', 'x')",
        "matches_text(NULL, 1)",
        "attribute_matches('{\"a\":1}', 'a', '~', '1')",
    ] {
        let result = databases[0].query_row(&format!("SELECT {call}"), [], |row| row.get::<_, bool>(0));
        assert!(result.is_err(), "{call}");
    }
    for call in [
        "matches_words(NULL, '|a|')",
        "matches_text(NULL, '|a|')",
        "attribute_matches(NULL, 'a', '=', '1')",
        "attribute_matches('not json \"a\"', 'a', '', '')",
        "attribute_matches('{\"a\":', 'a', '', '')",
        "attribute_matches('{\"a\":\"\\', 'a', '', '')",
        "attribute_matches(x'ff', 'a', '', '')",
    ] {
        let result = databases[0].query_row(&format!("SELECT {call}"), [], |row| row.get::<_, bool>(0));
        assert_eq!(result, Ok(false), "{call}");
    }
}

proptest! {
    #[test]
    fn words_are_found_where_oracle_finds_them(
        text in "[aAb_ .\u{fc}\u{2019}]{0,12}",
        word in "[aAb_ .\u{fc}\u{2019}]{1,3}",
        open_start in any::<bool>(),
        open_end in any::<bool>(),
    ) {
        let pattern = Pattern { text: word, open_start, open_end };
        let encoded = pattern.encoded();
        let found = EncodedPattern::new(encoded.as_bytes()).unwrap().is_in(text.as_bytes());
        prop_assert_eq!(found, oracle::holds_words(&text, &pattern));
    }

    #[test]
    fn arbitrary_bytes_never_break_words_or_attributes(
        text in proptest::collection::vec(any::<u8>(), 0..30),
        pattern in proptest::collection::vec(any::<u8>(), 2..6),
        json in "[{}\\[\\]\",:\\\\a1 \u{fc}]{0,30}",
    ) {
        EncodedPattern::new(&pattern).unwrap().is_in(&text);
        attribute::matches(&format!("{{{json}"), "a", Comparison::Present);
    }
}
