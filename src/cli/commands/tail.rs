//! `logboom tail`: shows records as they arrive.

use clap::ArgMatches;

use super::follow::Follow;
use crate::cli::client::{ApiClient, parameters::query_text};
use crate::cli::terminal::{Output, RecordWriter};
use crate::failure::Failure;

/// Follows the records until it is interrupted.
pub(super) fn run(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let follow = Follow {
        client: ApiClient::new(matches)?,
        query: query_text(matches),
        last: matches.get_one::<u64>("last").copied().unwrap_or(0),
        after: None,
    };
    let mut writer = RecordWriter::new(matches, None, output)?;
    writer.begin(output)?;
    // Nothing is held back until a screen is full.
    writer.write_held(false, output)?;
    follow.run(output, |record, output| writer.write(record, output))
}
