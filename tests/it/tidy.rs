//! Rules of the source tree: the order of modules, documentation, lengths.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The modules that each module may import, from the lowest to the highest.
const ALLOWED: [(&str, &[&str]); 22] = [
    ("escape", &[]),
    ("failure", &[]),
    ("limits", &[]),
    ("disk", &["limits"]),
    ("blocking", &["limits"]),
    ("slots", &["limits"]),
    ("metrics", &["limits"]),
    ("record", &["limits"]),
    ("query", &["limits", "record"]),
    ("net", &["limits", "slots"]),
    // The program's own log is configured by an option.
    ("log", &["config", "escape", "limits", "record"]),
    ("spool", &["blocking", "disk", "limits", "log", "record"]),
    ("store", &["blocking", "disk", "limits", "log", "query", "record", "spool"]),
    // The types of some options are declared beside the code that uses them.
    ("config", &["disk", "failure", "limits", "store"]),
    ("ingest", &["config", "limits", "log", "metrics", "net", "record", "slots", "spool"]),
    ("view", &["blocking", "disk", "limits", "log", "metrics", "net", "query", "record", "spool", "store"]),
    ("memory", &["limits", "metrics", "store"]),
    ("data_dir", &["config", "disk", "failure", "limits", "spool", "store"]),
    (
        "pipeline",
        &[
            "blocking", "config", "data_dir", "disk", "failure", "ingest", "limits", "log", "memory",
            "metrics", "net", "record", "slots", "spool", "store", "view",
        ],
    ),
    (
        "cli",
        &[
            "config", "data_dir", "disk", "escape", "failure", "ingest", "limits", "log", "pipeline",
            "query", "record", "spool", "store",
        ],
    ),
    ("lib", &[]),
    ("main", &[]),
];

/// A line of a comment, with its indentation.
const COMMENT_COLUMNS_MAX: usize = 100;

const FUNCTION_LINES_MAX: usize = 70;
/// The match over all opcodes of pickles.
const LONG_FUNCTIONS: [&str; 1] = ["src/ingest/python/pickle/machine/mod.rs"];

const FILE_LINES_MAX: usize = 500;
/// A table of bounds, a table of options, and files that are yet to be divided.
const LONG_FILES: [&str; 5] = [
    "src/limits.rs",
    "src/cli/arguments.rs",
    "src/store/shipper.rs",
    "src/store/sqlite/confine.rs",
    "src/spool/writer.rs",
];

struct Source {
    /// Relative to the project.
    path: String,
    text: String,
}

impl Source {
    /// Code that only tests use: it may import anything, and be long.
    fn is_test(&self) -> bool {
        let parts: Vec<_> = self.path.split('/').collect();
        let is_test = |part: &&str| {
            matches!(
                *part,
                "tests" | "tests.rs" | "agreement" | "contract.rs" | "cruel" | "model.rs" | "server.rs"
            )
        };
        parts[0] != "src" || parts.iter().any(is_test)
    }

    /// The module below `src`.
    fn module(&self) -> &str {
        let part = self.path.split('/').nth(1).unwrap_or_default();
        part.strip_suffix(".rs").unwrap_or(part)
    }

    /// The code without comments and without the tests at its end.
    fn code(&self) -> impl Iterator<Item = &str> {
        let end = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        self.text[..end].lines().filter(|line| !line.trim_start().starts_with("//"))
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["src", "tests", "examples", "fuzz/src", "fuzz/fuzz_targets"] {
        collect(&root.join(folder), &mut found);
    }
    assert!(found.len() > 300, "{} files", found.len());
    let read = |path: PathBuf| Source {
        text: std::fs::read_to_string(&path).unwrap(),
        path: path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(),
    };
    found.into_iter().map(read).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() && !path.ends_with("node_modules") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn check(what: &str, faults: &BTreeSet<String>) {
    assert!(faults.is_empty(), "{what}:\n{}", faults.iter().cloned().collect::<Vec<_>>().join("\n"));
}

#[test]
fn imports_follow_the_order_of_modules() {
    let mut faults = BTreeSet::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let module = source.module();
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == module) else {
            faults.insert(format!("{module} is not in the table of modules"));
            continue;
        };
        for (_, imported) in source
            .code()
            .flat_map(|line| line.match_indices("crate::").map(move |(at, _)| (at, &line[at + 7..])))
        {
            let name = imported
                .split(|byte: char| !byte.is_ascii_alphanumeric() && byte != '_')
                .next()
                .unwrap_or_default();
            if name != module && ALLOWED.iter().any(|(other, _)| *other == name) && !allowed.contains(&name) {
                faults.insert(format!("{}: {module} may not import {name}", source.path));
            }
        }
    }
    check("imports against the order", &faults);
}

#[test]
fn lower_modules_come_first() {
    let exceptions = [("log", "config")];
    for (place, (module, allowed)) in ALLOWED.iter().enumerate() {
        for name in *allowed {
            let is_lower = ALLOWED[..place].iter().any(|(lower, _)| lower == name);
            assert!(is_lower || exceptions.contains(&(*module, *name)), "{module} imports {name}");
        }
    }
}

#[test]
fn files_begin_with_their_documentation() {
    let undocumented = |source: &&Source| !source.text.starts_with("//!") && !source.text.starts_with("#![");
    let faults = sources().iter().filter(undocumented).map(|source| source.path.clone()).collect();
    check("no module documentation", &faults);
}

#[test]
fn comments_are_narrow_and_stand_for_themselves() {
    let mut faults = BTreeSet::new();
    for source in sources() {
        for (number, line) in (1..).zip(source.text.lines()) {
            let comment = line.trim_start();
            if comment.starts_with("//") && line.chars().count() > COMMENT_COLUMNS_MAX {
                faults
                    .insert(format!("{}:{number} is wider than {COMMENT_COLUMNS_MAX} columns", source.path));
            }
            if comment.starts_with("//") && comment.to_ascii_lowercase().contains(concat!("see ", "above")) {
                faults.insert(format!("{}:{number} refers to another comment", source.path));
            }
        }
    }
    check("comments", &faults);
}

#[test]
fn functions_and_files_are_short() {
    let mut faults = BTreeSet::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let lines = source.code().count();
        if lines > FILE_LINES_MAX && !LONG_FILES.contains(&&*source.path) {
            faults.insert(format!("{} has {lines} lines", source.path));
        }
        if LONG_FUNCTIONS.contains(&&*source.path) {
            continue;
        }
        for (name, lines) in functions(&source.text) {
            if lines > FUNCTION_LINES_MAX {
                faults.insert(format!("{}: {name} has {lines} lines", source.path));
            }
        }
    }
    check("too long", &faults);
}

/// The functions of a file in the usual format, and their lengths: a function ends at the first
/// closing brace with its indentation.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<_> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let is_function =
            ["fn ", "pub fn ", "async fn ", "pub async fn ", "pub(super) fn ", "pub(crate) fn "]
                .iter()
                .any(|prefix| code.starts_with(prefix));
        if !is_function || code.ends_with('}') || code.ends_with(';') {
            continue;
        }
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        if let Some(length) = lines[start..].iter().position(|line| *line == end) {
            found.push((code.chars().take(60).collect(), length + 1));
        }
    }
    found
}
