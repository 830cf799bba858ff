//! Runs a model once for each seed: a fixed number of seeds in every test run, and many more if
//! time is given.
//!
//! * `MODEL_SEED=n` runs one seed alone. A failure prints this setting.
//! * `SOAK_SECONDS=n` runs new seeds for this many seconds, and reports progress.

use std::ops::AddAssign;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Counts of what a model did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Appends, commits, reads, and so on.
    pub(crate) operations: u64,
    /// Calls of the disk that these operations made.
    pub(crate) calls: u64,
    pub(crate) crashes: u64,
    /// Number of faults that were set.
    pub(crate) faults: u64,
    /// Bits flipped, pages made unreadable.
    pub(crate) damages: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.operations += other.operations;
        self.calls += other.calls;
        self.crashes += other.crashes;
        self.faults += other.faults;
        self.damages += other.damages;
    }
}

/// Runs a model with the seeds below `seeds`, or as the environment variables require.
pub(crate) fn run(name: &str, seeds: u64, model: impl Fn(u64) -> Tally) {
    if let Some(seed) = number("MODEL_SEED") {
        say(&format!("{name}: seed {seed}: {:?}", model(seed)));
        return;
    }
    let mut total = Tally::default();
    for seed in 0..seeds {
        total += guarded(name, seed, &model);
    }
    if let Some(seconds) = number("SOAK_SECONDS") {
        total += soak(name, Duration::from_secs(seconds), &model);
    }
    say(&format!("{name}: done: {total:?}"));
}

fn soak(name: &str, time: Duration, model: &impl Fn(u64) -> Tally) -> Tally {
    const PROGRESS: Duration = Duration::from_secs(30);
    // Every soak uses seeds that no earlier one has used.
    let first = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()) << 24;
    let (begun, mut told, mut total, mut seed) = (Instant::now(), Instant::now(), Tally::default(), first);
    while begun.elapsed() < time {
        total += guarded(name, seed, model);
        seed += 1;
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            say(&format!(
                "{name}: {} s, {} seeds, now {seed}: {total:?}",
                begun.elapsed().as_secs(),
                seed - first
            ));
        }
    }
    total
}

fn guarded(name: &str, seed: u64, model: &impl Fn(u64) -> Tally) -> Tally {
    catch_unwind(AssertUnwindSafe(|| model(seed))).unwrap_or_else(|panic| {
        say(&format!("{name}: seed {seed} failed; repeat with MODEL_SEED={seed} cargo test --lib {name}"));
        resume_unwind(panic)
    })
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable}={value} is not a number")))
}

fn say(line: &str) {
    eprintln!("{line}");
}
