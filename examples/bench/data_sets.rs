//! The data sets: what the events of a measurement have in common, and in what they differ.
//!
//! A server may store cheaply what repeats, so one data set alone says little about another. Each
//! data set here is a function from a number to an event: the same events in each run, and a
//! different event for each number.

use std::borrow::Cow;
use std::fmt::Write;

use crate::event::{Event, TimeFormat};
use crate::payloads::scramble;

/// One kind of events.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum DataSet {
    /// About 340 bytes. Service, logger, place in the code and process follow from each other; only
    /// times, messages and trace ids are unique.
    Plain,
    /// As large as plain: 20 services, 100 loggers, 400 lines of code, 64 processes and 8 threads,
    /// each independent of the others.
    Varied,
    /// Plain, with a thread name of its own in each record.
    Threads,
    /// Plain, from 1,000 pods that each have a host name and a process id of their own.
    Pods,
    /// Plain, with 40 attributes more.
    Wide,
    /// Plain, with a stack trace: about 4 KiB.
    Long,
    /// About 60 bytes: time, level and a short message.
    Tiny,
    /// Plain, with messages and attributes in several scripts, and with escapes.
    Unicode,
    /// All of them, event by event. Their times are in disorder by up to a minute, and one of a
    /// hundred events is an hour late.
    Mixed,
}

/// The sets that are measured unless others are selected.
pub const DEFAULT: &[DataSet] = &[DataSet::Plain, DataSet::Varied, DataSet::Mixed];

/// Likewise, in quick runs.
pub const QUICK: &[DataSet] = &[DataSet::Plain, DataSet::Varied];

/// 2026-11-21T10:00:00Z, the time of the first event.
pub const START_US: i64 = 1_795_255_200_000_000;

const MINUTE_US: u64 = 60_000_000;

impl DataSet {
    /// All sets, by their names on the command line; [`DataSet::Mixed`] is the last one.
    pub const ALL: [(&'static str, DataSet); 9] = [
        ("plain", DataSet::Plain),
        ("varied", DataSet::Varied),
        ("threads", DataSet::Threads),
        ("pods", DataSet::Pods),
        ("wide", DataSet::Wide),
        ("long", DataSet::Long),
        ("tiny", DataSet::Tiny),
        ("unicode", DataSet::Unicode),
        ("mixed", DataSet::Mixed),
    ];

    /// Returns the sets of a list such as `plain,varied`, or `all`.
    pub fn parse(list: &str) -> Option<Vec<DataSet>> {
        if list == "all" {
            return Some(DataSet::ALL.map(|(_, set)| set).into());
        }
        list.split(',').map(DataSet::of_name).collect()
    }

    /// Returns the set of this name.
    pub fn of_name(name: &str) -> Option<DataSet> {
        DataSet::ALL.iter().find(|set| set.0 == name).map(|set| set.1)
    }

    pub fn name(self) -> &'static str {
        DataSet::ALL.iter().find(|set| set.1 == self).expect("all sets are in the list").0
    }

    /// Returns true if events are about as large as those of plain, so that rates can be compared.
    pub fn is_as_large_as_plain(self) -> bool {
        matches!(self, DataSet::Plain | DataSet::Varied | DataSet::Threads | DataSet::Pods)
    }

    /// Returns how many events a query for the last 100 of a service finds: tiny events have no
    /// service.
    pub fn found_of_service(self) -> u64 {
        if self == DataSet::Tiny { 0 } else { 100 }
    }

    /// Returns the set that an event belongs to: the set itself, or one of those that are mixed.
    pub fn member(self, number: u64) -> DataSet {
        let members = DataSet::ALL.len() as u64 - 1;
        match self {
            DataSet::Mixed => DataSet::ALL[(hash(number, Salt::Member) % members) as usize].1,
            set => set,
        }
    }

    /// Returns an event.
    pub fn event(self, number: u64) -> Event {
        let mut event = match self.member(number) {
            DataSet::Varied => varied(number),
            DataSet::Threads => Event { thread: Some(format!("Thread-{number}")), ..plain(number) },
            DataSet::Pods => pod(number),
            DataSet::Wide => Event { attributes: wide(number), ..plain(number) },
            DataSet::Long => Event { attributes: stack_trace(number), ..plain(number) },
            DataSet::Tiny => tiny(number),
            DataSet::Unicode => unicode(number),
            DataSet::Plain | DataSet::Mixed => plain(number),
        };
        if self == DataSet::Mixed {
            event.delay_us = delay_us(number);
        }
        event
    }
}

/// Makes the choices of one event independent of each other.
#[derive(Clone, Copy)]
enum Salt {
    Member = 1,
    Delay,
    Varied,
    Pod,
    PodProcess,
    PodName,
    Wide,
    Long,
    Unicode,
}

fn hash(number: u64, salt: Salt) -> u64 {
    scramble(number ^ ((salt as u64) << 56))
}

/// Returns a number below `count`, from the bits of a hash from this one on.
fn choose(hash: u64, bit: u32, count: u64) -> u64 {
    (hash >> bit) % count
}

fn plain(number: u64) -> Event {
    let random = scramble(number);
    // A thousand events a second for an hour, and then again.
    let time_us = (number / 1000 % 3600 * 1_000_000 + number % 1_000_000) as i64;
    Event {
        level: Cow::Borrowed(level(random % 100)),
        service: Some(format!("service-{:02}", number % 20)),
        message: format!("[{:06}] log message {number:08} for user {}", number % 1_000_000, random % 500_000),
        time_us: START_US + time_us,
        logger: Some(format!("app.module{:03}", number % 100)),
        trace_id: Some(format!("{random:016x}{:016x}", scramble(random))),
        file: Some(format!("/srv/app/module{:03}.py", number % 100)),
        line: Some(number % 100 * 7 + 1),
        process_id: Some(1000 + number % 20),
        thread: Some("MainThread".to_owned()),
        ..Event::default()
    }
}

/// Returns a level: 20 % DEBUG, 60 % INFO, 12 % WARN, 7 % ERROR, 1 % FATAL.
pub fn level(percent: u64) -> &'static str {
    match percent {
        0..20 => "DEBUG",
        20..80 => "INFO",
        80..92 => "WARN",
        92..99 => "ERROR",
        _ => "FATAL",
    }
}

fn varied(number: u64) -> Event {
    let random = hash(number, Salt::Varied);
    let module = choose(random, 0, 100);
    Event {
        service: Some(format!("service-{:02}", choose(random, 10, 20))),
        logger: Some(format!("app.module{module:03}")),
        file: Some(format!("/srv/app/module{module:03}.py")),
        line: Some(100 + choose(random, 20, 400)),
        process_id: Some(1000 + choose(random, 40, 64)),
        thread: Some(format!("worker-{:03}", choose(random, 50, 8))),
        ..plain(number)
    }
}

/// Each of the 20 services has 50 pods.
fn pod(number: u64) -> Event {
    let service = number % 20;
    let pod = service * 50 + hash(number, Salt::Pod) % 50;
    let process = hash(pod, Salt::PodProcess);
    let name = hash(pod, Salt::PodName) & 0xff_ffff;
    Event {
        host: Some(format!("service-{service:02}-{:08x}-{name:06x}", scramble(service) as u32)),
        process_id: Some(1 + process % 32_768),
        ..plain(number)
    }
}

const WIDE_ATTRIBUTES: u64 = 40;

/// Names with a unit or a domain before them, as instrumentation writes them; some values are the
/// same in most events, some are unique.
fn wide(number: u64) -> String {
    const DOMAINS: [&str; 5] = ["http.request", "db.query", "messaging", "user", "deployment"];
    let mut out = String::with_capacity(1500);
    for index in 0..WIDE_ATTRIBUTES {
        let random = scramble(hash(number, Salt::Wide).wrapping_add(index));
        let comma = if index == 0 { "" } else { "," };
        let domain = DOMAINS[index as usize % DOMAINS.len()];
        let _ = write!(out, "{comma}\"{domain}.field_{index:02}\":");
        let _ = match index % 4 {
            0 => write!(out, "\"value-{:02}\"", random % 20),
            1 => write!(out, "{}", random % 1_000_000),
            2 => write!(out, "{}", random.is_multiple_of(10)),
            _ => write!(out, "\"{random:016x}\""),
        };
    }
    out
}

/// A stack trace as Python writes it, in JSON.
fn stack_trace(number: u64) -> String {
    const FRAMES: u64 = 28;
    let random = hash(number, Salt::Long);
    let mut out = String::with_capacity(4096);
    out.push_str("\"exception.stacktrace\":\"Traceback (most recent call last):\\n");
    for frame in 0..FRAMES {
        // The upper frames are those of a few entry points, the lower ones differ.
        let random = if frame < FRAMES / 2 { scramble(random % 8 + frame) } else { scramble(random + frame) };
        let _ = write!(
            out,
            "  File \\\"/srv/app/package{:02}/module{:03}.py\\\", line {}, in handle_{}\\n    result = self.handler_{}.call(request, timeout={})\\n",
            choose(random, 0, 40),
            choose(random, 8, 200),
            1 + choose(random, 16, 900),
            choose(random, 28, 500),
            choose(random, 40, 500),
            choose(random, 52, 60),
        );
    }
    let _ = write!(out, "ValueError: order {} has no item {}\"", random % 10_000_000, random % 97);
    out
}

fn tiny(number: u64) -> Event {
    Event {
        level: Cow::Borrowed(level(scramble(number) % 100)),
        message: format!("ok {number}"),
        time_us: plain(number).time_us,
        time_format: TimeFormat::Milliseconds,
        ..Event::default()
    }
}

/// Texts in which characters have one to four bytes, some of them escaped.
const PHRASES: [&str; 8] = [
    r"Größe der Übertragung überschritten",
    r"заказ не найден на складе",
    r"支払いが拒否されました",
    r"la requ\u00eate a \u00e9chou\u00e9",
    r"upload 🚀 finished \ud83d\ude00",
    r"first line\nsecond line\tcolumn",
    r#"said \"no\" to C:\\temp\\log"#,
    r"الطلب مكتمل",
];

fn unicode(number: u64) -> Event {
    let random = hash(number, Salt::Unicode);
    let phrase = |bit| PHRASES[choose(random, bit, PHRASES.len() as u64) as usize];
    let event = plain(number);
    Event {
        message: format!("{}: {}", phrase(0), event.message),
        attributes: format!(
            "\"käufer\":\"Müller-{}\",\"都市\":\"東京\",\"note\":\"{}\"",
            choose(random, 20, 5000),
            phrase(10)
        ),
        ..event
    }
}

fn delay_us(number: u64) -> i64 {
    let random = hash(number, Salt::Delay);
    let minutes = if choose(random, 0, 100) == 0 { 60 } else { 0 };
    (minutes * MINUTE_US + choose(random, 16, MINUTE_US)) as i64
}
