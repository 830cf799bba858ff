//! Some forty records with all that can go wrong in them.

use super::NOW;
use crate::record::{Origin, RecordRef};

const MINUTE: i64 = 60_000_000_000;

/// Returns the records; their ids are their positions counted from 1.
pub(crate) fn records() -> Vec<RecordRef<'static>> {
    let mut records = Vec::new();
    records.extend(MESSAGES.iter().map(|message| RecordRef { message, ..RecordRef::default() }));
    records.extend(ATTRIBUTES.iter().map(|attributes| RecordRef { attributes, ..RecordRef::default() }));
    for (index, record) in records.iter_mut().enumerate() {
        record.timestamp = NOW - index as i64 * 10 * MINUTE + [0, 1, -1][index % 3];
        record.origin = ORIGINS[index % ORIGINS.len()];
        record.severity_number = [9, 13, 17, 0, 5, 14, 21, 1][index % 8];
        record.trace_id = ["", "17", "b7ad6b7169203331", "B7"][index % 4];
        record.span_id = ["", "17", "\u{fc}"][index % 3];
        record.event_name = ["", "payment.refused"][index % 2];
    }
    records
}

const MESSAGES: [&str; 24] = [
    "connection refused",
    "Connection Refused by 10.0.0.1:80",
    "connections refused by 110.0.0.1",
    "refused: connection",
    "reconnection refused_ x",
    "user-42 logged in",
    "user-420 logged in, superuser-42",
    "super-user-42",
    "\u{fc}ber alles",
    "\u{dc}BER Alles",
    "ber after \u{fc}ber",
    "\u{2018}ber\u{2019} in curly quotes",
    "\u{65e5}\u{672c}\u{8a9e}",
    "",
    "a*b literally",
    "C:\\temp \"quoted\" ' -- %s _ 100%",
    "line one\nfail\tline two",
    "failed failure",
    "FAIL",
    "main() called",
    "x",
    "nul\0inside",
    "app::views https://host/x?y=1",
    "aaaa aaab aab",
];

const ATTRIBUTES: [&str; 22] = [
    r#"{"k":17,"user_id":1000}"#,
    r#"{"k":"17","user_id":"1001"}"#,
    r#"{"k":17.0}"#,
    r#"{ "k" : 1.7e1 , "user_id" : 99 }"#,
    r#"{"k":"17.0"}"#,
    r#"{"k":true}"#,
    r#"{"k":"true"}"#,
    r#"{"k":null}"#,
    r#"{"k":[17,"}"],"user_id":-5}"#,
    r#"{"k":{"k":17}}"#,
    r#"{"k":"abc","user_id":1e300}"#,
    r#"{"k":"abd"}"#,
    r#"{"k":""}"#,
    r#"{"http.status":500,"http":{"status":404}}"#,
    r#"{"http":{"status":404,"x":[{"status":1}]}}"#,
    r#"{"http":"none","k.k":1}"#,
    r#"{"k":1,"k":2}"#,
    r#"{"odd \"name\" \\ $.k '":"x","caf\u00e9":"\u00fc","level":"high"}"#,
    r#"{"k":"line\nbreak \"q\" \ud83d\ude00"}"#,
    r#"{"k":9223372036854775808}"#,
    r#"{"k":9223372036854775809}"#,
    r#"{"k":-0.5,"user_id":"9"}"#,
];

const NOWHERE: Origin<'static> = Origin {
    service: "",
    logger: "",
    host: "",
    severity_text: "",
    file: "",
    line: 0,
    function: "",
    process_id: 0,
    thread: "",
};

pub(crate) const ORIGINS: [Origin<'static>; 6] = [
    NOWHERE,
    Origin { service: "billing", logger: "app.views", severity_text: "WARNING", line: 17, ..NOWHERE },
    Origin { service: "Billing", host: "web-1", severity_text: "Audit", process_id: 4321, ..NOWHERE },
    Origin { service: "billing-worker", function: "<module>", severity_text: "AUDIT", ..NOWHERE },
    Origin { logger: "app", file: "/srv/app/views.py", line: 170, thread: "MainThread", ..NOWHERE },
    Origin { service: "b*", logger: "health", severity_text: "\u{c4}udit", ..NOWHERE },
];
