//! Reads `~/.pgpass`: one line per password, `host:port:database:user:password`. `*` matches
//! anything, and `\` escapes a `:` or a `\`.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::url::Password;
use crate::limits::PASSFILE_BYTES_MAX;

/// The location of the password file.
#[derive(Debug)]
pub(super) struct Passfile {
    path: PathBuf,
    /// True if the warning that the file is ignored was logged: once, and not at each attempt to
    /// connect.
    has_warned: AtomicBool,
}

impl Passfile {
    pub(super) fn new(path: PathBuf) -> Passfile {
        Passfile { path, has_warned: AtomicBool::new(false) }
    }

    /// Returns the password of the first line that matches host, port, database and user. As in
    /// libpq, a file that others may read is ignored, with a warning.
    pub(super) fn find(&self, wanted: [&str; 4]) -> Option<Password> {
        let path = self.path.as_path();
        // Checked before the file is opened, because opening a pipe waits for its other end.
        let metadata = std::fs::metadata(path).ok()?;
        if !metadata.is_file() {
            return None;
        }
        let is_open = metadata.mode() & 0o077 != 0;
        if !self.has_warned.swap(is_open, Relaxed) && is_open {
            tracing::warn!(path = %path.display(), "the password file is ignored: other users can read it; its mode must be 0600");
        }
        if is_open {
            return None;
        }
        let mut text = String::new();
        File::open(path).ok()?.take(PASSFILE_BYTES_MAX).read_to_string(&mut text).ok()?;
        find_in(&text, wanted)
    }
}

fn find_in(text: &str, wanted: [&str; 4]) -> Option<Password> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| password(line, wanted)).next()
}

fn password(line: &str, wanted: [&str; 4]) -> Option<Password> {
    let mut rest = line;
    for wanted in wanted {
        let (field, tail) = field(rest);
        let fits = rest.starts_with("*:") || field == wanted;
        rest = tail.filter(|_| fits)?;
    }
    Some(Password(field(rest).0))
}

/// Splits off the first field. There is no rest after the last field.
fn field(text: &str) -> (String, Option<&str>) {
    let mut field = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            ':' => return (field, Some(&text[at + 1..])),
            '\\' => field.extend(letters.next().map(|(_, kept)| kept)),
            letter => field.push(letter),
        }
    }
    (field, None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const FILE: &str = "\
# a comment: it:is:not:a:line
db:5432:logs:jo:first
db:*:*:jo:second
::1:1:a:b:never
\\:\\:1:*:*:*:six\\:with\\\\colon
*:*:*:*:rest:ignored
";

    #[test]
    fn first_matching_line_wins() {
        for (wanted, password) in [
            (["db", "5432", "logs", "jo"], "first"),
            (["db", "5433", "logs", "jo"], "second"),
            (["::1", "1", "a", "b"], "six:with\\colon"),
            (["db", "5432", "logs", "ann"], "rest"),
        ] {
            assert_eq!(find_in(FILE, wanted), Some(Password(password.into())), "{wanted:?}");
        }
        assert_eq!(find_in("db:1:a:b:x\nshort:line\n", ["db", "1", "a", "c"]), None);
    }

    #[test]
    fn file_readable_by_others_is_ignored() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("pgpass");
        std::fs::write(&path, FILE).unwrap();
        for (mode, counts) in [(0o600, true), (0o640, false), (0o604, false), (0o400, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let found = Passfile::new(path.clone()).find(["a", "b", "c", "d"]);
            assert_eq!(found.is_some(), counts, "{mode:o}");
        }
        assert_eq!(Passfile::new(folder.path().to_owned()).find(["a", "b", "c", "d"]), None);
    }
}
