//! What each field costs if it is different in each record: plain events, in one line as they are,
//! and in each further line with one field that never repeats.

use super::Setup;
use super::stored::store;
use crate::data_sets::DataSet;
use crate::event::Event;
use crate::payloads::{POST, Payloads};
use crate::report::{Figures, Line};

const RECORDS: u64 = 1_000_000;

/// A field, and how it is made unique.
type Field = (&'static str, fn(&mut Event, u64));

const FIELDS: [Field; 11] = [
    ("service", |event, number| event.service = Some(format!("service-{number:08}"))),
    ("host", |event, number| event.host = Some(format!("host-{number:08}"))),
    ("logger", |event, number| event.logger = Some(format!("app.module{number:08}"))),
    ("file", |event, number| event.file = Some(format!("/srv/app/module{number:08}.py"))),
    ("function", |event, number| event.function = Some(format!("handler_{number:08}"))),
    ("line", |event, number| event.line = Some(number)),
    ("process id", |event, number| event.process_id = Some(number)),
    ("thread", |event, number| event.thread = Some(format!("Thread-{number:08}"))),
    ("severity text", |event, number| {
        event.level = format!("LEVEL-{number:08}").into();
        event.severity_number = Some(9);
    }),
    ("event name", |event, number| event.event_name = Some(format!("event-{number:08}"))),
    // The trace ids of plain are unique already, in hexadecimal; these are stored as text.
    ("trace id, as text", |event, number| event.trace_id = Some(format!("request-{number:024}"))),
];

/// Measures plain, and then each field.
pub fn measure(setup: &Setup) -> Vec<Line> {
    let plain = figures(setup, |_, _| {});
    let plain_bytes = plain["database_bytes_per_record"];
    let mut lines = vec![Line::new("plain", plain)];
    for (name, make_unique) in FIELDS {
        let mut figures = figures(setup, make_unique);
        figures.insert("over_plain_bytes", figures["database_bytes_per_record"] - plain_bytes);
        lines.push(Line::new(name, figures));
    }
    lines
}

fn figures(setup: &Setup, change: fn(&mut Event, u64)) -> Figures {
    let records = setup.scaled(RECORDS);
    let payloads = Payloads::of_events(POST, records, |number| {
        let mut event = DataSet::Plain.event(number);
        change(&mut event, number);
        event
    });
    assert_eq!(payloads.total(), records, "no event repeats");
    let server = setup.server(0, &[]);
    let mut figures = store(&server, &payloads);
    server.check_stored(records);
    figures.insert("database_bytes_per_record", server.database_bytes() / records as f64);
    // The latencies of POSTs and the spool are what other rows measure.
    const SHOWN: [&str; 4] =
        ["records_per_second", "cpu_seconds_per_million", "peak_megabytes", "database_bytes_per_record"];
    figures.retain(|name, _| SHOWN.contains(name));
    figures
}
