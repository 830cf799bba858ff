//! Rules of the source tree: the order of modules, documentation, lengths, names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The modules that each module may import, from the lowest to the highest.
const ALLOWED: [(&str, &[&str]); 22] = [
    ("escape", &[]),
    ("failure", &[]),
    ("limits", &[]),
    ("disk", &[]),
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
    ("view", &["limits", "log", "metrics", "net", "query", "record", "spool", "store"]),
    ("memory", &["limits", "metrics", "store"]),
    ("data_dir", &["config", "disk", "failure", "limits", "spool", "store"]),
    (
        "pipeline",
        &[
            "blocking", "config", "data_dir", "failure", "ingest", "limits", "log", "memory", "metrics",
            "net", "record", "spool", "store", "view",
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

const TEST_NAME_CHARACTERS_MAX: usize = 60;

const FUNCTION_LINES_MAX: usize = 70;
/// The match over all opcodes of pickles.
const LONG_FUNCTIONS: [&str; 1] = ["src/ingest/python/pickle/machine/mod.rs"];

const FILE_LINES_MAX: usize = 500;
/// A table of bounds, and the one file with `unsafe` code.
const LONG_FILES: [&str; 2] = ["src/limits.rs", "src/store/sqlite/confine.rs"];

struct Source {
    /// Relative to the project.
    path: String,
    text: String,
    /// Code that only tests use: it may import anything, and be long.
    is_test: bool,
}

impl Source {
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
    let mut found = Vec::new();
    for folder in ["src", "tests", "examples", "fuzz/src", "fuzz/fuzz_targets"] {
        collect(folder, "rs", &mut found);
    }
    assert!(found.len() > 300, "{} files", found.len());
    let source = |path: String| {
        let is_test = !path.starts_with("src/");
        Source { text: read(&path), path, is_test }
    };
    let mut sources: Vec<_> = found.into_iter().map(source).collect();
    let modules: Vec<_> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        let belongs_to = |module: &String| {
            source.path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        source.is_test |= modules.iter().any(belongs_to);
    }
    sources
}

/// Returns the modules that a file declares for tests only, as paths without `.rs`.
fn test_modules(source: &Source) -> Vec<String> {
    let (folder, file) = source.path.rsplit_once('/').unwrap();
    let folder = match file {
        "mod.rs" | "lib.rs" | "main.rs" => folder,
        _ => source.path.strip_suffix(".rs").unwrap(),
    };
    let mut found = Vec::new();
    let mut is_test = false;
    for line in source.text.lines().map(str::trim_start) {
        let name = visible_item(line, &["mod"]).or_else(|| item(line, &["mod"]));
        if let Some(name) = name.filter(|_| is_test && line.ends_with(';')) {
            found.push(format!("{folder}/{name}"));
        }
        is_test = line == TESTS_ONLY || is_test && line.starts_with("#[");
    }
    found
}

const TESTS_ONLY: &str = "#[cfg(test)]";

/// Returns the name of the item that a line begins to define, if the item is visible beyond its
/// file.
fn visible_item<'l>(line: &'l str, kinds: &[&str]) -> Option<&'l str> {
    let rest = line.strip_prefix("pub")?;
    let rest = match rest.strip_prefix('(') {
        Some(scope) => scope.split_once(')')?.1,
        None => rest,
    };
    item(rest.strip_prefix(' ')?, kinds)
}

/// Returns the name of the item that a line begins to define.
fn item<'l>(line: &'l str, kinds: &[&str]) -> Option<&'l str> {
    let (kind, rest) = line.split_once(' ')?;
    let is_name = |byte: char| byte.is_ascii_alphanumeric() || byte == '_';
    kinds.contains(&kind).then(|| rest.split(|byte| !is_name(byte)).next().unwrap_or_default())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Collects the files below a folder that have this extension.
fn collect(folder: &str, extension: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(root().join(folder)).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{folder}/{name}");
        if entry.file_type().unwrap().is_dir() {
            if name != "node_modules" {
                collect(&path, extension, found);
            }
        } else if name.rsplit_once('.').is_some_and(|(_, end)| end == extension) {
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
    for source in sources().iter().filter(|source| !source.is_test) {
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
fn visible_types_have_unique_names() {
    let mut files: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources().iter().filter(|source| !source.is_test) {
        let kinds = ["struct", "enum", "trait", "type", "union"];
        for name in source.code().filter_map(|line| visible_item(line, &kinds)) {
            files.entry(name.to_owned()).or_default().insert(source.path.clone());
        }
    }
    assert!(files.len() > 200, "{} types", files.len());
    let repeated = files.iter().filter(|(_, files)| files.len() > 1);
    check("names of several types", &repeated.map(|(name, files)| format!("{name}: {files:?}")).collect());
}

#[test]
fn files_begin_with_their_documentation() {
    // A fuzz target is three lines, which begin with `#![no_main]`.
    let undocumented =
        |source: &&Source| !source.text.starts_with("//!") && !source.path.starts_with("fuzz/fuzz_targets/");
    let faults = sources().iter().filter(undocumented).map(|source| source.path.clone()).collect();
    check("no module documentation", &faults);
}

const FOLDERS: [&str; 6] = ["src/", "tests/", "examples/", "fuzz/", "vendor/", "docs/"];
/// Paths in documents that stand for something else, or that only runs create.
const NO_FILES: [&str; 5] = ["NAME", "TARGET", "PROTOCOL", "fuzz/artifacts", "fuzz/corpus"];

#[test]
fn paths_in_documents_exist() {
    let names = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md"];
    let mut documents = names.map(str::to_owned).to_vec();
    collect("docs", "md", &mut documents);
    let mut faults = BTreeSet::new();
    for document in documents {
        let text = read(&document);
        let is_path = |code: &&str| {
            FOLDERS.iter().any(|folder| code.starts_with(folder))
                && !NO_FILES.iter().any(|other| code.contains(other))
        };
        for path in text.split('`').skip(1).step_by(2).filter(is_path) {
            let path = path.split(' ').next().unwrap_or_default();
            if !root().join(path).exists() {
                faults.insert(format!("{document}: {path}"));
            }
        }
    }
    check("no such file", &faults);
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
    for source in sources().iter().filter(|source| !source.is_test) {
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

#[test]
fn names_of_tests_are_short() {
    let mut faults = BTreeSet::new();
    for source in sources() {
        for test in source.text.split("#[test]\n").skip(1) {
            let code = test.split("fn ").nth(1).unwrap_or_default();
            let name = code.split('(').next().unwrap_or_default();
            if name.len() > TEST_NAME_CHARACTERS_MAX {
                faults.insert(format!("{}: {name}", source.path));
            }
        }
    }
    check("names of tests", &faults);
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
        let indentation = &line[..line.len() - code.len()];
        // A declaration in a trait may span several lines, and has no body.
        let is_end = |line: &&str| line.starts_with(&format!("{indentation}}}")) || line.ends_with(';');
        let has_body = lines[start..].iter().find(|line| line.ends_with('{') || is_end(line));
        let end = format!("{indentation}}}");
        if has_body.is_none_or(|line| !line.ends_with('{')) {
            continue;
        }
        if let Some(length) = lines[start..].iter().position(|line| *line == end) {
            found.push((code.chars().take(60).collect(), length + 1));
        }
    }
    found
}
