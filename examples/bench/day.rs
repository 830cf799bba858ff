//! Records of a day of twenty services, on which queries are measured: the events of a data set,
//! with times of a day, with messages from templates, in traces of some ten records that run beside
//! each other, and with a few records that queries look for.

use std::borrow::Cow;

use crate::data_sets::{DataSet, START_US};
use crate::event::Event;
use crate::payloads::scramble;

/// The time of the last record.
const END_US: i64 = START_US;
const DAY_US: i64 = 86_400_000_000;

/// Number of records that contain [`NEEDLE`] and [`NEEDLE_VALUE`].
pub const NEEDLES: u64 = 5;
/// A word of messages.
pub const NEEDLE: &str = "quokka";
/// The value of the attribute `animal`.
pub const NEEDLE_VALUE: &str = "wombat-0815";

/// The records of a day.
#[derive(Clone, Copy)]
pub struct Day {
    pub set: DataSet,
    /// Number of records of the day.
    pub records: u64,
}

/// The level of a message, and its text around two numbers.
const TEMPLATES: [(&str, [&str; 3]); 12] = [
    ("INFO", ["GET /api/v2/orders/", " 200 in ", " ms"]),
    ("INFO", ["POST /api/v2/carts/", "/items 201 in ", " ms"]),
    ("INFO", ["user ", " logged in from 10.2.0.", ""]),
    ("DEBUG", ["cache miss for key session:", ", loading ", " bytes"]),
    ("DEBUG", ["connection ", " taken from the pool after ", " ms"]),
    ("INFO", ["job ", " finished in ", " ms"]),
    ("WARN", ["job ", " failed, next try in ", " s"]),
    ("INFO", ["message ", " handed to the relay in ", " ms"]),
    ("WARN", ["slow answer of inventory for order ", ": ", " ms"]),
    ("ERROR", ["payment ", " refused: card declined, code ", ""]),
    ("ERROR", ["timeout of statement ", " after ", " ms, connection reset"]),
    ("INFO", ["indexed ", " documents in ", " ms"]),
];

/// How often each template occurs, of a hundred.
const WEIGHTS: [u64; 12] = [24, 10, 8, 16, 12, 9, 3, 5, 3, 2, 1, 7];

const REGIONS: [&str; 4] = ["eu-central-1", "eu-west-1", "us-east-1", "ap-south-1"];

impl Day {
    /// Returns a record.
    pub fn event(self, number: u64) -> Event {
        let random = scramble(number);
        let mut event = self.set.event(number);
        event.time_us = self.time_us(number) + ((random >> 16) % 2000 * 1000) as i64;
        if self.set.member(number).is_as_large_as_plain() {
            write_text(&mut event, random);
        }
        if event.trace_id.is_some() {
            event.trace_id = Some(trace(number));
            event.span_id = Some(format!("{:016x}", scramble(!(number / 3))));
        }
        plant(&mut event, number, self.records);
        event
    }

    /// Times ascend evenly except for some jitter, which the caller adds.
    fn time_us(self, number: u64) -> i64 {
        END_US - DAY_US + (i128::from(number) * i128::from(DAY_US) / i128::from(self.records)) as i64
    }

    /// Returns the id of a trace in the first half of the day, and the number of its records.
    pub fn some_trace(self) -> (String, u64) {
        let first = self.records / 3 / 100 * 100;
        let numbers = (first..).step_by(10).take(10);
        let has_trace = |number: &u64| self.set.event(*number).trace_id.is_some();
        (trace(first), numbers.filter(has_trace).count() as u64)
    }
}

/// Adds a rare word and a rare attribute to a few of this many events.
pub fn plant(event: &mut Event, number: u64, records: u64) {
    if number.is_multiple_of(records / NEEDLES) {
        event.message.push_str(", and a ");
        event.message.push_str(NEEDLE);
        event.message.push_str(" escaped");
        let comma = if event.attributes.is_empty() { "" } else { "," };
        event.attributes += &format!("{comma}\"animal\":\"{NEEDLE_VALUE}\"");
    }
}

/// Writes level, message and attributes.
fn write_text(event: &mut Event, random: u64) {
    let (level, [before, between, after]) = TEMPLATES[template(random % 100)];
    event.level = Cow::Borrowed(if random.is_multiple_of(50_021) { "FATAL" } else { level });
    let (id, figure) = ((random >> 24) % 10_000_000, (random >> 50) % 3000);
    event.message = format!("{before}{id}{between}{figure}{after}");
    let region = REGIONS[(random >> 40) as usize % REGIONS.len()];
    event.attributes = format!("\"user_id\":{},\"region\":\"{region}\"", (random >> 30) % 500_000);
    if random.is_multiple_of(3) {
        let (status, digit) = (200 + random % 5 * 100, random % 10);
        event.attributes += &format!(",\"http.status_code\":{status},\"duration_ms\":{figure}.{digit}");
    }
}

fn template(percent: u64) -> usize {
    let mut sum = 0;
    let is_reached = |weight: &u64| {
        sum += weight;
        percent < sum
    };
    WEIGHTS.iter().position(is_reached).expect("weights of a hundred")
}

/// Returns the trace of a record. Ten traces run beside each other, over a hundred records.
fn trace(number: u64) -> String {
    let trace = number / 100 * 10 + number % 10;
    format!("{:016x}{:016x}", scramble(trace), scramble(trace ^ 0xabcd_0000_0000))
}
