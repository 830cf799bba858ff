//! What the system reports about a process.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Child;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// A process that is killed when this value is dropped.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Returns the processor time so far, user and system.
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds(&self.0.id().to_string())
    }

    /// Waits for the end of the process, and returns its processor time. The exit status can still
    /// be read after that.
    pub fn cpu_seconds_at_end(&self) -> f64 {
        let process = WaitId::Pid(Pid::from_child(&self.0));
        waitid(process, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        self.cpu_seconds()
    }

    /// Returns the peak memory of the process.
    pub fn peak_bytes(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
    }
}

/// Returns the processor time of a process, by its number or as `self`, in steps of 10 ms.
pub fn cpu_seconds(process: &str) -> f64 {
    ticks(process, 11..13).unwrap() as f64 / ticks_per_second()
}

/// Returns the processor time of a process and of all its children, including those that have
/// ended.
pub fn family_cpu_seconds(process: &str) -> f64 {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap();
    // A child that ends in between counts with those that have ended.
    let running = children.split_whitespace().filter_map(|child| ticks(child, 11..13));
    (running.sum::<u64>() + ticks(process, 11..15).unwrap()) as f64 / ticks_per_second()
}

/// Returns the sum of some fields after the name of a process, or `None` if the process is gone.
fn ticks(process: &str, fields: Range<usize>) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may contain spaces.
    let values: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(values[fields].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum())
}

fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// Returns the disk space of the files below a folder.
pub fn disk_bytes(folder: &Path) -> f64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => disk_bytes(&entry.path()),
            Ok(data) => data.blocks() as f64 * 512.0,
            Err(_) => 0.0, // the file was removed in the meantime
        })
        .sum()
}
