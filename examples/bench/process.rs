//! What the system tells of a process.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Child;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// A process that ends with its owner.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Processor time so far, user and system.
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds(&self.0.id().to_string())
    }

    /// The same at its end, which this waits for; it can still be asked how it ended.
    pub fn cpu_seconds_at_end(&self) -> f64 {
        let process = WaitId::Pid(Pid::from_child(&self.0));
        waitid(process, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        self.cpu_seconds()
    }

    /// The most memory that it ever had.
    pub fn peak_bytes(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
    }
}

/// Processor time of a process, by its number or as `self`; in steps of 10 ms.
pub fn cpu_seconds(process: &str) -> f64 {
    ticks(process, 11..13).unwrap() as f64 / ticks_per_second()
}

/// Processor time of a process and of all its children, those that have ended too.
pub fn family_cpu_seconds(process: &str) -> f64 {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap();
    // One that ends meanwhile counts with those that have.
    let running = children.split_whitespace().filter_map(|child| ticks(child, 11..13));
    (running.sum::<u64>() + ticks(process, 11..15).unwrap()) as f64 / ticks_per_second()
}

/// The sum of some fields behind the name of a process; nothing when it has gone.
fn ticks(process: &str, fields: Range<usize>) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may hold blanks.
    let values: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(values[fields].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum())
}

fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// What the files below a folder take on disk.
pub fn disk_bytes(folder: &Path) -> f64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => disk_bytes(&entry.path()),
            Ok(data) => data.blocks() as f64 * 512.0,
            Err(_) => 0.0, // it has gone meanwhile
        })
        .sum()
}
