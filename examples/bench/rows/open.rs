//! Open loops: requests that are sent on a schedule, each latency counted from the time at which
//! the request was due.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::{Setup, needs};
use crate::generator::{Load, Pace};
use crate::payloads::Payloads;
use crate::report::{Figures, Line, Reach, figures_of};
use crate::server::Server;

const CONNECTIONS: usize = 64;

/// Measures three rates, of which the last is more than any known log server accepts on two cores.
pub fn rates(setup: &Setup) -> Vec<Line> {
    let payloads = Payloads::requests(1);
    let rate = |rate: u32| {
        let server = setup.server(0, &[]);
        let times = (setup.seconds(2.0), setup.seconds(10.0));
        let (figures, records) = run(&server, &payloads, rate, times);
        server.check_stored(records);
        Line::new(format!("{},000/s", rate / 1000), figures)
    };
    [5_000, 20_000, 60_000].map(rate).into()
}

/// Measures 60,000 records per second, each in a POST of its own, or with others that have
/// gathered, while everything happens that could delay them. Fails if these things did not happen.
pub fn stalls(setup: &Setup) -> Vec<Line> {
    vec![
        stalls_of("logboom, a POST each", setup, &Payloads::requests(1)),
        stalls_of("logboom, what has gathered in one", setup, &Payloads::gathering()),
    ]
}

fn stalls_of(name: &str, setup: &Setup, payloads: &Payloads) -> Line {
    const RATE: u32 = 60_000;
    let seconds = setup.seconds(60.0);
    // Records are deleted during most of the run.
    let age = format!("--retention-age={}ms", (seconds * 1000.0 / 6.0) as u64);
    let server = setup.server(0, &["--spool-segment-bytes=8MiB", &age]);
    let is_over = AtomicBool::new(false);
    let (seen, (mut figures, records)) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| Seen::until(&is_over, &server));
        let result = run(&server, payloads, RATE, (0.0, seconds));
        is_over.store(true, Relaxed);
        (watch.join().unwrap(), result)
    });
    let stored = server.stored();
    assert_eq!(stored.last_id, records, "the last id");
    assert_eq!(stored.count, stored.last_id - stored.first_id + 1, "the count, and the span of ids");
    let deleted = stored.first_id - 1;
    figures.extend([
        ("checkpoints", seen.checkpoints as f64),
        ("segments", seen.segments.len() as f64),
        ("deleted", deleted as f64),
    ]);
    assert!(deleted > 0, "retention deleted nothing: the run shows nothing");
    assert!(seen.checkpoints > 1 && seen.segments.len() > 2, "{seen:?}: the run shows nothing");
    Line::new(name, figures).held_against("max_ms", 260.0, Reach::AtMost(1.0))
}

/// Returns the figures, and how many records were sent.
fn run(
    server: &Server,
    payloads: &Payloads,
    rate: u32,
    (warm_up_seconds, seconds): (f64, f64),
) -> (Figures, u64) {
    let rate = f64::from(rate);
    let warm_up = (rate * warm_up_seconds) as u64;
    let records = warm_up + (rate * seconds) as u64;
    let cpu = server.cpu_seconds();
    let pace = Pace::Open { per_second: rate, warm_up };
    let sent =
        Load { address: server.http, connections: CONNECTIONS, payloads, records, pace }.run().unwrap();
    assert_eq!(sent.accepted, records);
    server.flush();
    let mut figures = figures_of(&sent, records);
    figures.extend(needs(server, cpu, records));
    server.check_accepted(records);
    (figures, records)
}

/// What happened during a run, as the file system shows it: requests to the server would be
/// additional work for it.
#[derive(Debug, Default)]
struct Seen {
    /// Number of checkpoints: nothing else writes the database file.
    checkpoints: u64,
    /// Names of the spool's files. Each change of segments adds a new name.
    segments: BTreeSet<OsString>,
}

impl Seen {
    fn until(is_over: &AtomicBool, server: &Server) -> Seen {
        let mut seen = Seen::default();
        let modified = || std::fs::metadata(server.database()).and_then(|data| data.modified()).ok();
        let (mut last, mut was_written) = (modified(), false);
        while !is_over.load(Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
            let now = modified();
            let is_written = now != last;
            // A checkpoint that takes longer is seen several times in a row, and counts once.
            seen.checkpoints += u64::from(is_written && !was_written);
            (last, was_written) = (now, is_written);
            let files = std::fs::read_dir(server.data_dir().join("spool")).into_iter().flatten().flatten();
            let names = files.map(|file| file.file_name());
            seen.segments.extend(names.filter(|name| name.to_string_lossy().ends_with(".segment")));
        }
        seen
    }
}
