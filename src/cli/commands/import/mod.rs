//! `logboom import`: sends records that an export wrote. They go in batches that the server stores
//! completely or not at all. Nothing is sent twice automatically: if the outcome of a batch is
//! unknown, a person decides. The [`ImportJournal`] records the progress.

mod journal;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use indicatif::ProgressBar;
use serde::Deserialize;

use self::journal::{ImportJournal, how_to_continue};
use super::file_failure;
use crate::cli::client::{ApiClient, Reply, http, lines::read_line};
use crate::cli::terminal::{Output, numbers::counted, output, progress, text};
use crate::failure::Failure;
use crate::ingest::json::EXPORTED;
use crate::limits::{IMPORT_BATCH_BYTES, IMPORT_BATCH_RECORDS, IMPORT_WAIT_SECONDS_MAX};
use crate::spool::{DISK_ERROR, DISK_FAILING};

/// Sends the records of an exported file.
pub(super) fn run(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let path = matches.get_one::<OsString>("file").map(PathBuf::from).unwrap_or_default();
    let failed = |error| file_failure("read", &path, error);
    let (mut lines, bar) = open(&path).map_err(failed)?;
    let first = matches.get_one::<u64>("from-line").copied().unwrap_or(1);
    let client = ApiClient::new(matches)?;
    let journal = ImportJournal::begin(&path, matches.get_one("from-line").copied())?;
    let mut import = Import { client, journal, accepted: 0, rejected: 0 };
    let (mut batch, mut line, mut number) = (LineBatch::default(), Vec::new(), 0);
    let end = loop {
        let next = read_line(&mut *lines, &mut line);
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
    end.map_err(|error| failed(error).hint(how_to_continue(first.max(number + 1), 0)))?;
    let Import { accepted, rejected, journal, .. } = import;
    journal.end();
    writeln!(output, "imported {}", counted(accepted, "record"))?;
    output.finish()?;
    if rejected == 0 {
        return Ok(());
    }
    Err(Failure::new(format!("{} of {number} refused", counted(rejected, "line")))
        .because("they are not what `logboom export` writes; the reasons are above"))
}

/// Opens the lines of a file, with a progress bar of the bytes read; `-` is standard input.
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

/// Lines that are sent in one request, and their numbers in the file.
#[derive(Default)]
struct LineBatch {
    body: Vec<u8>,
    numbers: Vec<u64>,
}

impl LineBatch {
    fn push(&mut self, number: u64, line: &[u8]) {
        self.body.extend_from_slice(line);
        self.body.push(b'\n');
        self.numbers.push(number);
    }
}

/// The server's answer for a batch.
#[derive(Deserialize)]
struct BatchResult {
    accepted: u64,
    rejected: u64,
    errors: Vec<LineError>,
}

#[derive(Deserialize)]
struct LineError {
    line: usize,
    error: String,
}

struct Import {
    client: ApiClient,
    journal: ImportJournal,
    accepted: u64,
    rejected: u64,
}

impl Import {
    fn send(&mut self, batch: &mut LineBatch, bar: &ProgressBar) -> Result<(), Failure> {
        let (Some(first), Some(last)) = (batch.numbers.first(), batch.numbers.last()) else { return Ok(()) };
        let (first, last) = (*first, *last);
        let so_far = |failure: Failure| {
            // If this fails, the journal records less than is known.
            let _ = self.journal.write(first, 0);
            failure.hint(how_to_continue(first, 0))
        };
        let unsure = |failure: Failure| failure.hint(how_to_continue(first, last));
        self.journal.write(first, last).map_err(|failure| failure.hint(how_to_continue(first, 0)))?;
        let start = Instant::now();
        let verdict = loop {
            let sent = self.client.send("/api/v1/records", EXPORTED, &batch.body);
            let Reply { status, retry_after, body } =
                sent.map_err(|failure| match failure.to_string().contains("Connection refused") {
                    true => so_far(failure),
                    false => unsure(failure),
                })?;
            let verdict: BatchResult = http::parse(&body).map_err(unsure)?;
            let tells_doubt = |error: &str| error.contains(DISK_ERROR) || error.contains(DISK_FAILING);
            if matches!(status, 200 | 400) {
                break verdict;
            }
            let is_in_doubt = verdict.errors.iter().any(|error| tells_doubt(&error.error));
            let is_known = verdict.accepted == 0 && !is_in_doubt;
            if !is_known || !matches!(status, 429 | 503) {
                let why = verdict.errors.last().map(|error| error.error.as_str()).unwrap_or_default();
                let failure = Failure::new(format!("the server stopped at lines {first} to {last}"))
                    .because(text::one_line(why).into_owned());
                return Err(if is_known { so_far(failure) } else { unsure(failure) });
            }
            if start.elapsed() > Duration::from_secs(IMPORT_WAIT_SECONDS_MAX) {
                return Err(so_far(Failure::new("the server accepts no more records")));
            }
            sleep(Duration::from_secs(retry_after.unwrap_or(1)));
        };
        if verdict.accepted + verdict.rejected < batch.numbers.len() as u64 {
            let what = format!("the server did not report the outcome of all lines {first} to {last}");
            return Err(unsure(Failure::new(what)));
        }
        self.journal.write(last + 1, 0).map_err(|failure| failure.hint(how_to_continue(last + 1, 0)))?;
        self.accepted += verdict.accepted;
        self.rejected += verdict.rejected;
        bar.suspend(|| {
            for LineError { line, error } in &verdict.errors {
                let number = line.checked_sub(1).and_then(|line| batch.numbers.get(line)).unwrap_or(&first);
                output::note(&format!("line {number}: {}", text::one_line(error)));
            }
        });
        batch.body.clear();
        batch.numbers.clear();
        Ok(())
    }
}
