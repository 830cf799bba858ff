//! `logboom export`: records as NDJSON, for another server. They are read page by page, so an
//! export may take any time, and it ends at what was stored when it began.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::file_failure;
use crate::cli::client::{ApiClient, http, parameters, record::id_of};
use crate::cli::partial_file::PartialFile;
use crate::cli::terminal::{Output, numbers::counted, output, progress};
use crate::disk::beside;
use crate::failure::Failure;
use crate::limits::QUERY_PAGE_RECORDS_MAX;
use crate::record::time;

/// A page of records.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Position {
    position: u64,
}

/// Writes all records that match.
pub(super) fn run(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let client = ApiClient::new(matches)?;
    let parameters = search_parameters(matches)?;
    let Some(path) = matches.get_one::<OsString>("output").map(PathBuf::from) else {
        let records = write_pages(&client, &parameters, |record| writeln!(output, "{record}"))?;
        output.finish()?;
        output::note(&format!("exported {}", counted(records, "record")));
        return Ok(());
    };
    let failed = |error| file_failure("write", &path, error);
    let partial = PartialFile::begin(beside(&path, ".partial")).map_err(failed)?;
    let mut file = Compressed::new(&path, &partial).map_err(failed)?;
    let records = write_pages(&client, &parameters, |record| writeln!(file, "{record}").map_err(failed))?;
    file.finish().and_then(|()| partial.persist(&path)).map_err(failed)?;
    output::note(&format!("exported {} to {}", counted(records, "record"), path.display()));
    Ok(())
}

fn search_parameters(matches: &ArgMatches) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut parameters = parameters::search(parameters::query_text(matches), matches, time::now())?;
    parameters.push(("order", "asc".into()));
    parameters.push(("limit", QUERY_PAGE_RECORDS_MAX.to_string()));
    Ok(parameters)
}

fn write_pages(
    client: &ApiClient,
    parameters: &[(&'static str, String)],
    mut write: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    // Records that arrive during the export are not part of it, or it might never end.
    let Position { position: end } = http::parse(&client.post("/api/v1/flush", b"")?.all()?)?;
    let bar = progress::of_records("exporting");
    let (mut count, mut cursor) = (0, String::new());
    loop {
        let mut parameters = parameters.to_vec();
        parameters.push(("cursor", cursor));
        let body = client.get("/api/v1/records", &parameters, "application/json")?.all()?;
        let page: Page<'_> = http::parse(&body)?;
        for record in page.records {
            if id_of(record.get().as_bytes())? >= end {
                return Ok(count);
            }
            write(record.get())?;
            count += 1;
        }
        bar.set_position(count);
        match page.next_cursor {
            Some(next) => cursor = next,
            None => return Ok(count),
        }
    }
}

/// A file, compressed according to its extension.
enum Compressed {
    Plain(BufWriter<File>),
    Gzip(flate2::write::GzEncoder<BufWriter<File>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<File>>),
}

impl Compressed {
    /// Returns a writer into `partial`, which is to become `path`.
    fn new(path: &Path, partial: &PartialFile) -> io::Result<Compressed> {
        let file = BufWriter::new(partial.file.try_clone()?);
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
        Ok(()) // `finish` flushes
    }
}
