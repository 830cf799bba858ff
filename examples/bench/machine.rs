//! The machine and the source that were measured.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// Returns processor, kernel, disk, and the state of the source.
pub fn describe(folder: &Path) -> Value {
    json!({
        "date": output("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
        "command": std::env::args().collect::<Vec<_>>().join(" "),
        "commit": output("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "processor": find("/proc/cpuinfo", "model name"),
        "memory": find("/proc/meminfo", "MemTotal"),
        "kernel": output("uname", &["-sr"]),
        "file_system": output("findmnt", &["-no", "SOURCE,FSTYPE,OPTIONS", "-T", &folder.display().to_string()]),
    })
}

/// Formats a description for people.
pub fn text(machine: &Value) -> String {
    let text = |name: &str| machine[name].as_str().unwrap_or_default().to_owned();
    format!(
        "logboom {}, {}: {}\n{} cores, {}, {}, {}\n{}",
        text("commit"),
        text("date"),
        text("command"),
        machine["cores"],
        text("processor"),
        text("memory"),
        text("kernel"),
        text("file_system"),
    )
}

fn output(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command).args(arguments).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" "),
    )
}

fn find(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
    line.map_or("unknown", |(_, value)| value.trim()).to_owned()
}
