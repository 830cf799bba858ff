//! `logboom spool inspect` and `verify`: what the spool on disk contains.

use clap::ArgMatches;
use indicatif::ProgressBar;

use super::{data_dir, subcommand};
use crate::cli::terminal::{Output, TextTable, numbers::counted, progress};
use crate::failure::Failure;
use crate::spool::inspect::{Content, SegmentReport, inspect};

/// Prints what the spool in a data folder contains; with `verify`, reads every byte of it and fails
/// if any is damaged.
pub(super) fn run(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let (command, matches) = subcommand(matches, "logboom spool")?;
    let (verify, data_dir) = (command == "verify", data_dir(matches)?);
    let folder = data_dir.join("spool");
    let bar = if verify { progress::of_bytes("verifying", 0) } else { ProgressBar::hidden() };
    let reports = inspect(&folder, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let reports = reports.map_err(|error| {
        Failure::new(format!("cannot read the spool in {}", data_dir.display()))
            .because(error)
            .hint("--data-dir names the folder that `logboom serve` uses")
    })?;
    print(&reports, output)?;
    output.finish()?;
    let damaged: u64 = reports.iter().map(|report| damaged_bytes(&report.content)).sum();
    if verify && damaged > 0 {
        return Err(Failure::new(format!("{damaged} bytes of the spool are damaged"))
            .hint("the server quarantines damaged stretches and continues with the rest"));
    }
    Ok(())
}

fn damaged_bytes(content: &Content) -> u64 {
    content.damage.iter().map(|(from, to)| to - from).sum()
}

fn print(reports: &[SegmentReport], output: &mut Output) -> Result<(), Failure> {
    let mut table =
        TextTable::new(["first id", "last id", "records", "commits", "used bytes", "file bytes", "state"]);
    for SegmentReport { first_id, bytes, content } in reports {
        let state = match (damaged_bytes(content), content.torn) {
            (0, false) => "whole".to_owned(),
            (0, true) => "whole, then an unfinished commit".to_owned(),
            (damaged, _) => {
                format!("{damaged} bytes damaged in {}", counted(content.damage.len() as u64, "place"))
            }
        };
        let last_id = content.end_id.saturating_sub(1);
        let numbers = [*first_id, last_id, content.records, content.frames, content.used_bytes, *bytes];
        let numbers = numbers.into_iter().map(|number| (number.to_string(), true));
        table.cells(numbers.chain([(state, false)]));
    }
    table.write(output)?;
    let records: u64 = reports.iter().map(|report| report.content.records).sum();
    let segments = counted(reports.len() as u64, "segment");
    writeln!(output, "{} in {segments}", counted(records, "record"))
}
