//! Queries for tests: one of every kind of term, and random ones.

use proptest::prelude::*;

/// One or more terms of every kind; the random queries consist of them.
pub(crate) const TERMS: [&str; 78] = [
    "*",
    "refused",
    "connect*",
    "*nection*",
    "*s",
    "x",
    "\"connection refused\"",
    "10.0.0.1",
    "user-42",
    "\"4\"",
    "-42",
    "\u{fc}ber",
    "\u{dc}ber",
    "*ber",
    "\u{672c}*",
    "message:*",
    "message:fail",
    "\"a*b\"",
    "\"C:\\\\temp\"",
    "\"'\"",
    "\"()\"",
    "aaab",
    "\"\n\"",
    "inside",
    "\"_\"",
    "y=1*",
    "id:3",
    "id>20",
    "id<=2",
    "id>=99999999999999999999",
    "id:*",
    "time>=2h",
    "time<1h",
    "time:2026-11-21",
    "time>now",
    "level:warn",
    "level>=error",
    "level<info",
    "level:14",
    "level:audit",
    "level:\"\u{e4}UDIT\"",
    "level:*",
    "severity_number:*",
    "severity_number<9",
    "service:billing",
    "service:bill*",
    "service:*ing",
    "service:*illin*",
    "service:\"b*\"",
    "service>=billing",
    "service<b",
    "service:*",
    "logger:(app OR health)",
    "host:web-1",
    "file:*views.py",
    "line:17",
    "line>17",
    "line<=17",
    "pid:4321",
    "pid:*",
    "function=\"<module>\"",
    "thread!=MainThread",
    "trace_id:17",
    "trace_id:*",
    "trace_id>17",
    "span_id:\u{fc}",
    "event_name:payment*",
    "k:17",
    "k:abc",
    "k:*",
    "k:*b*",
    "k>1",
    "k<=abc",
    "user_id>=1000",
    "http.status:404",
    "http.status>=500",
    "caf\u{e9}:\u{fc}",
    "attributes.level:high",
];

/// Generates queries that combine the terms in every way that the language allows.
pub(crate) fn queries() -> impl Strategy<Value = String> {
    let term = prop::sample::select(&TERMS[..]).prop_map(String::from);
    term.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|terms| format!("({})", terms.join(" "))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|terms| format!("({})", terms.join(" OR "))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|terms| terms.join(" ")),
            inner.prop_map(|term| format!("-{term}")),
        ]
    })
}

/// Generates comparisons of an attribute with arbitrary values.
pub(crate) fn values() -> impl Strategy<Value = String> {
    let operators = prop::sample::select(&[":", "!=", "<", "<=", ">", ">="][..]);
    let values = prop_oneof![
        "-?[0-9]{1,3}(\\.[0-9]{1,2})?(e[0-9])?".boxed(),
        any::<f64>().prop_map(|number| number.to_string()).boxed(),
        "[ab1]{0,3}".boxed(),
        "\\PC{0,5}".boxed(),
    ];
    (operators, values).prop_map(|(operator, value)| format!("k{operator}{}", quoted(&value)))
}

pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
