//! Moves a full log file away and removes the oldest files, with the names of Python's
//! `logging.handlers`.
//!
//! * By size (`RotatingFileHandler`): `app.log.1` is the newest file, `app.log.2` the one before.
//!   At each rotation every number grows by one, the largest first, up to the first free number. A
//!   crash in between leaves one number free in the middle. The next start closes this gap, so that
//!   all files can be read in their order.
//! * By day (`TimedRotatingFileHandler`): `app.log.2026-11-21`, for the day on which the file was
//!   begun. A further file of the same day is `app.log.2026-11-21.1`, then `.2`.
//!
//! Nothing is ever renamed over another file.

use std::collections::BTreeSet;
use std::io;

use super::local;
use crate::disk::Disk;
use crate::record::time;

/// Renames the log file. `day` is the day on which it was begun, if files are named by day.
pub(super) fn move_away(disk: &dyn Disk, name: &str, day: Option<i32>) -> io::Result<()> {
    let target = match day {
        None => {
            make_room(disk, name)?;
            numbered(name, 1)
        }
        Some(day) => free_name_of_day(disk, name, day)?,
    };
    disk.rename(name, &target)
}

/// Reverts a rotation by size that a crash interrupted: if exactly one number is free and the next
/// one is in use, the files after the gap move down. A crash in between leaves the gap at a higher
/// number, where the next call finds it.
pub(super) fn close_gap(disk: &dyn Disk, name: &str) -> io::Result<()> {
    let used = numbers(disk, name)?;
    let gap = chain(&used) + 1;
    for number in (gap + 1..u32::MAX).take_while(|number| used.contains(number)) {
        tracing::info!(
            from = numbered(name, number),
            "a rotation was interrupted: renaming an earlier file back to its number"
        );
        disk.rename(&numbered(name, number), &numbered(name, number - 1))?;
    }
    Ok(())
}

/// Removes the oldest file if there are more than `keep`. Returns true if there are still more.
pub(super) fn prune(disk: &dyn Disk, name: &str, keep: u32, by_day: bool) -> io::Result<bool> {
    let mut newest_first = if by_day { names_by_day(disk, name)? } else { names_by_number(disk, name)? };
    let surplus = newest_first.len().saturating_sub(keep as usize);
    if let (Some(oldest), true) = (newest_first.pop(), surplus > 0) {
        disk.remove(&oldest)?;
    }
    Ok(surplus > 1)
}

fn numbered(name: &str, number: u32) -> String {
    format!("{name}.{number}")
}

/// Returns what follows the log file's name and a dot in the names of the folder.
fn suffixes(disk: &dyn Disk, name: &str) -> io::Result<Vec<String>> {
    let entries = disk.list()?;
    let suffix =
        |entry: &crate::disk::Entry| Some(entry.name.strip_prefix(name)?.strip_prefix('.')?.to_owned());
    Ok(entries.iter().filter_map(suffix).collect())
}

/// Returns the numbers of all numbered files.
fn numbers(disk: &dyn Disk, name: &str) -> io::Result<BTreeSet<u32>> {
    Ok(suffixes(disk, name)?.iter().filter_map(|suffix| number_of(suffix)).collect())
}

/// Returns the last number in use before the first free one. Files with higher numbers are not
/// logboom's (`app.log.2024` may be anything).
fn chain(used: &BTreeSet<u32>) -> u32 {
    (1..u32::MAX).take_while(|number| used.contains(number)).last().unwrap_or(0)
}

/// Parses a number as this program writes it, without a sign or leading zeros.
fn number_of(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

fn make_room(disk: &dyn Disk, name: &str) -> io::Result<()> {
    for number in (1..=chain(&numbers(disk, name)?)).rev() {
        disk.rename(&numbered(name, number), &numbered(name, number + 1))?;
    }
    Ok(())
}

fn names_by_number(disk: &dyn Disk, name: &str) -> io::Result<Vec<String>> {
    Ok((1..=chain(&numbers(disk, name)?)).map(|number| numbered(name, number)).collect())
}

/// Returns the day in a suffix, and the number of the file within the day.
fn day_and_number(suffix: &str) -> Option<(i32, u32)> {
    match suffix.split_once('.') {
        None => Some((local::parse_day(suffix)?, 0)),
        Some((date, number)) => {
            Some((local::parse_day(date)?, number_of(number).filter(|number| *number > 0)?))
        }
    }
}

fn name_of_day(name: &str, (day, number): (i32, u32)) -> String {
    let date = time::date_of(day);
    if number == 0 { format!("{name}.{date}") } else { format!("{name}.{date}.{number}") }
}

fn days(disk: &dyn Disk, name: &str) -> io::Result<BTreeSet<(i32, u32)>> {
    Ok(suffixes(disk, name)?.iter().filter_map(|suffix| day_and_number(suffix)).collect())
}

fn free_name_of_day(disk: &dyn Disk, name: &str, day: i32) -> io::Result<String> {
    let last = days(disk, name)?.range((day, 0)..=(day, u32::MAX)).next_back().copied();
    let number = last.map_or(0, |(_, number)| number.saturating_add(1));
    Ok(name_of_day(name, (day, number)))
}

fn names_by_day(disk: &dyn Disk, name: &str) -> io::Result<Vec<String>> {
    Ok(days(disk, name)?.into_iter().rev().map(|day| name_of_day(name, day)).collect())
}
