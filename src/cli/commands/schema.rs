//! `logboom schema`: the table definitions of a store, for users who create tables by hand.

use clap::ArgMatches;

use crate::cli::arguments;
use crate::cli::terminal::Output;
use crate::failure::Failure;
use crate::store::postgres::SCHEMA;

/// Prints the definitions. Only one kind of store has tables that another person may have to
/// create.
pub(super) fn run(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let store = arguments::text(matches, "store").unwrap_or_default();
    if !matches!(store.split(':').next(), Some("postgres" | "postgresql")) {
        return Err(
            // The given value is not repeated: it may contain a password.
            Failure::usage("only the tables of `postgres` are made by hand")
                .hint("logboom schema --store postgres"),
        );
    }
    output.write_all(SCHEMA.as_bytes())
}
