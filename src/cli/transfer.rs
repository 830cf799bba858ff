//! `logboom export` and `logboom import`: records as NDJSON, from one server to another.
//!
//! An export is read page by page, so that it takes as long as it takes, and ends at what was stored when it began. An import sends
//! batches that the server stores whole or not at all. Nothing is sent twice on its own account: where the outcome of a batch is
//! not known, a person decides. What is known stands in a file beside the one that is imported, until all of it was sent: so
//! somebody who begins anew after a crash is told where to go on, instead of doubling what is there.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use indicatif::ProgressBar;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::{self, Client, Reply};
use super::draft::{Draft, hold};
use super::output::{self, Output};
use super::status::counted;
use super::{progress, text};
use crate::disk::{beside, keep_name};
use crate::failure::Failure;
use crate::ingest::http::EXPORTED;
use crate::limits::{
    ANSWER_LINE_BYTES_MAX, IMPORT_BATCH_BYTES, IMPORT_BATCH_RECORDS, IMPORT_WAIT_SECONDS_MAX,
    QUERY_PAGE_RECORDS_MAX,
};
use crate::record::time;
use crate::spool::DISK_ERROR;
use crate::view::query;

/// A page of records.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Id {
    id: u64,
}

#[derive(Deserialize)]
struct Position {
    position: u64,
}

/// Writes all records that match.
pub(super) fn export(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let client = Client::new(matches)?;
    let parameters = parameters(matches, time::now())?;
    let Some(path) = matches.get_one::<OsString>("output").map(PathBuf::from) else {
        let records = write_pages(&client, &parameters, output)?;
        output.finish()?;
        return told(&format!("exported {}", counted(records, "record")));
    };
    let failed = |error: io::Error| Failure::new(format!("cannot write {}", path.display())).because(error);
    let draft = Draft::begin(beside(&path, ".partial")).map_err(failed)?;
    let mut file = Compressed::new(&path, &draft).map_err(failed)?;
    let records = write_pages(&client, &parameters, &mut file)?;
    file.finish().and_then(|()| draft.replace(&path)).map_err(failed)?;
    told(&format!("exported {} to {}", counted(records, "record"), path.display()))
}

/// A note; nothing hangs on whether it can be written.
fn told(note: &str) -> Result<(), Failure> {
    let _ = writeln!(io::stderr(), "{note}");
    Ok(())
}

fn parameters(matches: &ArgMatches, now: i64) -> Result<Vec<(&'static str, String)>, Failure> {
    let words = matches.get_many::<String>("query").into_iter().flatten();
    let query = words.map(String::as_str).collect::<Vec<_>>().join(" ");
    let mut parameters = vec![("q", query)];
    for name in ["since", "until"] {
        let Some(text) = matches.get_one::<String>(name) else { continue };
        let moment = query::time::parse(text, now).map_err(|_| {
            Failure::usage(format!("bad value for --{name}"))
                .because(format!("`{text}` is not a time"))
                .hint(query::time::FORMS)
        })?;
        parameters.push((name, time::format(moment)));
    }
    parameters.push(("order", "asc".into()));
    parameters.push(("limit", QUERY_PAGE_RECORDS_MAX.to_string()));
    Ok(parameters)
}

fn write_pages(
    client: &Client,
    parameters: &[(&'static str, String)],
    out: &mut impl Write,
) -> Result<u64, Failure> {
    // What comes meanwhile is not part of it, or it might never end.
    let flushed = client.post("/api/v1/flush", b"")?.all()?;
    let end = serde_json::from_slice::<Position>(&flushed).map_err(client::not_understood)?.position;
    let bar = progress::of_records("exporting");
    let (mut count, mut cursor) = (0, String::new());
    loop {
        let mut parameters = parameters.to_vec();
        parameters.push(("cursor", cursor));
        let body = client.get("/api/v1/records", &parameters, "application/json")?.all()?;
        let page: Page<'_> = serde_json::from_slice(&body).map_err(client::not_understood)?;
        for record in page.records {
            let Id { id } = serde_json::from_str(record.get()).map_err(client::not_understood)?;
            if id >= end {
                return Ok(count);
            }
            writeln!(out, "{}", record.get()).map_err(output::failed)?;
            count += 1;
        }
        bar.set_position(count);
        match page.next_cursor {
            Some(next) => cursor = next,
            None => return Ok(count),
        }
    }
}

/// A file, compressed as its name says.
enum Compressed {
    Plain(BufWriter<File>),
    Gzip(flate2::write::GzEncoder<BufWriter<File>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<File>>),
}

impl Compressed {
    /// What is written goes into `draft`, which is to become `path`.
    fn new(path: &Path, draft: &Draft) -> io::Result<Compressed> {
        let file = BufWriter::new(draft.file.try_clone()?);
        Ok(match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => {
                Compressed::Gzip(flate2::write::GzEncoder::new(file, flate2::Compression::default()))
            }
            Some("zst") => Compressed::Zstd(zstd::stream::write::Encoder::new(file, 0)?),
            _ => Compressed::Plain(file),
        })
    }

    fn finish(self) -> io::Result<()> {
        let mut file = match self {
            Compressed::Plain(file) => file,
            Compressed::Gzip(file) => file.finish()?,
            Compressed::Zstd(file) => file.finish()?,
        };
        file.flush()
    }
}

impl Write for Compressed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Compressed::Plain(file) => file.write(bytes),
            Compressed::Gzip(file) => file.write(bytes),
            Compressed::Zstd(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // `finish` does
    }
}

/// Sends what an export wrote.
pub(super) fn import(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let path = matches.get_one::<OsString>("file").map(PathBuf::from).unwrap_or_default();
    let failed = |error: io::Error| Failure::new(format!("cannot read {}", path.display())).because(error);
    let (mut lines, bar) = open(&path).map_err(failed)?;
    let first = matches.get_one::<u64>("from-line").copied().unwrap_or(1);
    let client = Client::new(matches)?;
    let journal = Journal::begin(&path, matches.get_one("from-line").copied())?;
    let mut import = Import { client, journal, accepted: 0, rejected: 0 };
    let (mut batch, mut line, mut number) = (Batch::default(), Vec::new(), 0);
    let end = loop {
        let next = next_line(&mut *lines, &mut line);
        let is_last = !matches!(next, Ok(true));
        number += u64::from(!is_last);
        let is_wanted = number >= first && !line.iter().all(u8::is_ascii_whitespace);
        let is_full = batch.body.len() + line.len() >= IMPORT_BATCH_BYTES
            || batch.numbers.len() >= IMPORT_BATCH_RECORDS;
        if is_last || is_full {
            import.send(&mut batch, &bar)?;
        }
        if is_last {
            break next;
        }
        if is_wanted {
            batch.push(number, &line);
        }
    };
    bar.finish_and_clear();
    end.map_err(|error| failed(error).hint(go_on(first.max(number + 1), 0)))?;
    let Import { accepted, rejected, journal, .. } = import;
    journal.end();
    writeln!(output, "imported {}", counted(accepted, "record")).map_err(output::failed)?;
    output.finish()?;
    if rejected == 0 {
        return Ok(());
    }
    Err(Failure::new(format!("{} of {number} refused", counted(rejected, "line")))
        .because("they are not what `logboom export` writes; the reasons are above"))
}

/// The lines of a file, and a bar of how far it was read; `-` is standard input.
fn open(path: &Path) -> io::Result<(Box<dyn BufRead>, ProgressBar)> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(io::stdin().lock()), progress::of_records("importing")));
    }
    let file = File::open(path)?;
    let bar = progress::of_bytes("importing", file.metadata()?.len());
    let file = bar.wrap_read(file);
    let plain: Box<dyn Read> = match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Some("zst") => Box::new(zstd::stream::read::Decoder::new(file)?),
        _ => Box::new(file),
    };
    Ok((Box::new(BufReader::new(plain)), bar))
}

/// Reads a line, without its end; false at the end of all.
fn next_line(lines: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let length = lines.take(ANSWER_LINE_BYTES_MAX).read_until(b'\n', line)?;
    if length as u64 == ANSWER_LINE_BYTES_MAX {
        return Err(io::Error::other("a line is longer than any record"));
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(length > 0)
}

/// Lines that are sent at once, and their numbers in the file.
#[derive(Default)]
struct Batch {
    body: Vec<u8>,
    numbers: Vec<u64>,
}

impl Batch {
    fn push(&mut self, number: u64, line: &[u8]) {
        self.body.extend_from_slice(line);
        self.body.push(b'\n');
        self.numbers.push(number);
    }
}

/// What the server says of a batch.
#[derive(Deserialize)]
struct Verdict {
    accepted: u64,
    rejected: u64,
    errors: Vec<LineError>,
}

#[derive(Deserialize)]
struct LineError {
    line: usize,
    error: String,
}

/// How far an import has come, in a file beside the one that is imported: the first line that may not be stored, and the last
/// one that may be. Both numbers have a fixed width, and one write puts new ones over the old: whenever this ends, whole
/// numbers stand there.
struct Journal {
    file: Option<File>,
    path: PathBuf,
}

impl Journal {
    /// Goes on `from` a line that a person has found out; without one refuses to send again what was sent. Two imports of one file
    /// at once would send everything twice.
    fn begin(imported: &Path, from: Option<u64>) -> Result<Journal, Failure> {
        let path = beside(imported, ".importing");
        if imported.as_os_str() == "-" {
            return Ok(Journal { file: None, path });
        }
        let taken = match take(&path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                return Err(again(imported).because("another import of it is under way"));
            }
            taken => taken,
        };
        if from.is_none() {
            refuse_to_repeat(imported, &path)?;
        }
        let begun = taken.and_then(|file| {
            let journal = Journal { file: Some(file), path: path.clone() };
            journal.put(from.unwrap_or(1), 0).map(|()| journal).inspect_err(|_| {
                let _ = fs::remove_file(&path); // or it would tell of this import what it told of one before
            })
        });
        begun.or_else(|error| {
            told(&format!(
                "cannot write {}: {error}: should this end before its time, nobody will know how far it has come",
                path.display()
            ))?;
            Ok(Journal { file: None, path })
        })
    }

    /// Lines from `first` to `last` may be stored from now on, and those before are.
    fn write(&self, first: u64, last: u64) -> Result<(), Failure> {
        self.put(first, last)
            .map_err(|error| Failure::new(format!("cannot write {}", self.path.display())).because(error))
    }

    fn put(&self, first: u64, last: u64) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        file.write_all_at(format!("{first:20} {last:20}\n").as_bytes(), 0)?;
        file.sync_data()
    }

    fn end(self) {
        if self.file.is_some() {
            let _ = fs::remove_file(&self.path); // somebody may have done so
        }
    }
}

/// Opens a journal for one import alone, under a name that outlasts a crash; what is in it stays.
fn take(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).create(true).truncate(false).open(path)?;
    hold(&file, path)?;
    keep_name(path)?;
    Ok(file)
}

fn again(imported: &Path) -> Failure {
    Failure::new(format!("cannot import {} once more", imported.display()))
}

/// Fails where a journal tells that something was sent, or cannot be read.
fn refuse_to_repeat(imported: &Path, journal: &Path) -> Result<(), Failure> {
    let refused =
        |failure: Failure, hint: String| Err(failure.hint(format!("{hint}; --from-line 1 begins anew")));
    let known = match fs::read_to_string(journal) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        known => known
            .map_err(|error| Failure::new(format!("cannot read {}", journal.display())).because(error))?,
    };
    let numbers: Vec<_> = known.split_whitespace().map(str::parse::<u64>).collect();
    match numbers[..] {
        [] | [Ok(1), Ok(0)] => Ok(()), // nothing was sent
        [Ok(first), Ok(last)] => {
            refused(again(imported).because("an import of it has not come to its end"), go_on(first, last))
        }
        _ => refused(
            again(imported).because(format!("{} does not say how far it has come", journal.display())),
            "look for the last line that is stored, then go on with --from-line behind it".into(),
        ),
    }
}

/// What to do where lines before `first` are stored, and those up to `last` may be.
fn go_on(first: u64, last: u64) -> String {
    if last < first {
        return format!("everything before line {first} was sent; --from-line {first} goes on there");
    }
    format!(
        "lines {first} to {last} may be stored or not: look for the last of them, then go on with --from-line {first}, or \
         --from-line {}",
        last + 1
    )
}

struct Import {
    client: Client,
    journal: Journal,
    accepted: u64,
    rejected: u64,
}

impl Import {
    fn send(&mut self, batch: &mut Batch, bar: &ProgressBar) -> Result<(), Failure> {
        let (Some(first), Some(last)) = (batch.numbers.first(), batch.numbers.last()) else { return Ok(()) };
        let (first, last) = (*first, *last);
        let so_far = |failure: Failure| {
            let _ = self.journal.write(first, 0); // else it says less than is known
            failure.hint(go_on(first, 0))
        };
        let unsure = |failure: Failure| failure.hint(go_on(first, last));
        self.journal.write(first, last).map_err(|failure| failure.hint(go_on(first, 0)))?;
        let start = Instant::now();
        let verdict = loop {
            let reply = self.client.send("/api/v1/records", EXPORTED, &batch.body).map_err(|failure| {
                if failure.to_string().contains("Connection refused") {
                    return so_far(failure);
                }
                unsure(failure)
            })?;
            let Reply { status, retry_after, body } = reply;
            let verdict: Verdict =
                serde_json::from_slice(&body).map_err(|error| unsure(client::not_understood(error)))?;
            let is_in_doubt = verdict.errors.iter().any(|error| error.error.contains(DISK_ERROR));
            let is_busy = matches!(status, 429 | 503) && verdict.accepted == 0 && !is_in_doubt;
            if !is_busy {
                if !matches!(status, 200 | 400) {
                    let why = verdict.errors.last().map(|error| error.error.clone()).unwrap_or_default();
                    let failure = Failure::new(format!("the server stopped at lines {first} to {last}"));
                    let failure = failure.because(text::one_line(&why).into_owned());
                    let is_known = verdict.accepted == 0 && !is_in_doubt;
                    return Err(if is_known { so_far(failure) } else { unsure(failure) });
                }
                if verdict.accepted + verdict.rejected < batch.numbers.len() as u64 {
                    let failure =
                        format!("the server does not tell what became of all lines {first} to {last}");
                    return Err(unsure(Failure::new(failure)));
                }
                break verdict;
            }
            if start.elapsed() > Duration::from_secs(IMPORT_WAIT_SECONDS_MAX) {
                return Err(so_far(Failure::new("the server takes no more records")));
            }
            sleep(Duration::from_secs(retry_after.unwrap_or(1)));
        };
        self.journal.write(last + 1, 0).map_err(|failure| failure.hint(go_on(last + 1, 0)))?;
        self.accepted += verdict.accepted;
        self.rejected += verdict.rejected;
        bar.suspend(|| {
            for LineError { line, error } in &verdict.errors {
                // A bar that cannot be drawn over is no reason to stop.
                let number = line.checked_sub(1).and_then(|line| batch.numbers.get(line)).unwrap_or(&first);
                let _ = writeln!(io::stderr(), "line {number}: {}", text::one_line(error));
            }
        });
        batch.body.clear();
        batch.numbers.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::thread;

    use super::*;

    /// Else somebody who begins anew after a kill would have everything twice.
    #[test]
    fn a_journal_is_whole_at_every_moment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("many.ndjson");
        let journal = Journal::begin(&file, None).unwrap();
        let length = || fs::metadata(&journal.path).unwrap().len();
        let (whole, is_done) = (length(), AtomicBool::new(false));
        let lengths = thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Relaxed) {
                    journal.write(2, 0).unwrap();
                    journal.write(2, u64::MAX).unwrap();
                }
            });
            let lengths: HashSet<u64> = (0..50_000).map(|_| length()).collect();
            is_done.store(true, Relaxed);
            lengths
        });
        assert_eq!(lengths, HashSet::from([whole]));
        assert_eq!(fs::read_to_string(&journal.path).unwrap(), format!("{:20} {}\n", 2, u64::MAX));
    }

    #[test]
    fn a_journal_that_cannot_be_understood_is_not_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("many.ndjson");
        let journal = beside(&file, ".importing");
        for (known, is_refused) in
            [("", false), ("1 0\n", false), ("1", true), ("7 x", true), ("1501 0", true), ("1 1500", true)]
        {
            fs::write(&journal, known).unwrap();
            assert_eq!(Journal::begin(&file, None).is_err(), is_refused, "{known}");
            fs::write(&journal, known).unwrap();
            assert!(Journal::begin(&file, Some(1501)).is_ok(), "{known}");
        }
    }
}
