//! `logboom completions` and `logboom man`: shell completions and manual pages, generated from the
//! declarations of the command line.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::builder::PossibleValuesParser;
use clap::{ArgMatches, Command};
use clap_complete::aot::{Shell, generate};
use clap_mangen::Man;
use roff::{Roff, roman};

use super::arguments;
use super::fields::Selection;
use super::output::{self, Output};
use crate::failure::Failure;

/// Prints the completions of a shell.
pub(super) fn print_completions(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let shell = match matches.get_one::<String>("shell").map(String::as_str) {
        Some("zsh") => Shell::Zsh,
        Some("fish") => Shell::Fish,
        _ => Shell::Bash,
    };
    // The library treats a failed write as a bug, so it writes into memory.
    let mut script = Vec::new();
    generate(shell, &mut with_field_names(arguments::command()), "logboom", &mut script);
    output.write_all(&script).map_err(output::failed)?;
    output.finish()
}

/// Adds the names of columns as completions of flags that take names of fields. Such flags accept
/// any name, but the names of columns are worth completing.
fn with_field_names(command: Command) -> Command {
    let columns = Selection::all();
    let names = || PossibleValuesParser::new(columns.names().map(str::to_owned).collect::<Vec<_>>());
    command
        .mut_subcommand("query", |query| query.mut_arg("fields", |fields| fields.value_parser(names())))
        .mut_subcommand("tail", |tail| tail.mut_arg("fields", |fields| fields.value_parser(names())))
        .mut_subcommand("stats", |stats| {
            // A default of several names is not a possible value itself.
            stats.mut_arg("by", |by| by.default_value(None::<&str>).value_parser(names()))
        })
}

/// Writes a manual page for each command.
pub(super) fn write_manual(matches: &ArgMatches) -> Result<(), Failure> {
    let folder = Path::new(matches.get_one::<String>("folder").map_or(".", String::as_str));
    let mut command = arguments::command();
    command.build();
    let written = fs::create_dir_all(folder).and_then(|()| write_pages(&command, folder));
    written.map_err(|error| {
        Failure::new(format!("cannot write the manual pages into {}", folder.display())).because(error)
    })
}

fn write_pages(command: &Command, folder: &Path) -> io::Result<()> {
    let page =
        Man::new(command.clone()).source(concat!("logboom ", env!("CARGO_PKG_VERSION"))).manual("logboom");
    fs::write(folder.join(page.get_filename()), render(&page, command)?)?;
    command.get_subcommands().try_for_each(|inner| write_pages(inner, folder))
}

fn render(page: &Man, command: &Command) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    page.render_title(&mut out)?;
    page.render_name_section(&mut out)?;
    page.render_synopsis_section(&mut out)?;
    page.render_description_section(&mut out)?;
    page.render_options_section(&mut out)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut out)?;
    }
    render_notes(&command.get_after_help().map(ToString::to_string).unwrap_or_default(), &mut out)?;
    Ok(out)
}

/// Renders the text below the options in a command's help: paragraphs, and examples, whose line
/// breaks are kept.
fn render_notes(help: &str, out: &mut Vec<u8>) -> io::Result<()> {
    let mut notes = Roff::default();
    for (at, paragraph) in help.split("\n\n").filter(|paragraph| !paragraph.is_empty()).enumerate() {
        match paragraph.split_once(":\n") {
            Some((title, examples)) if title.starts_with("Example") => {
                notes.control("SH", ["EXAMPLES"]).control("nf", []);
                for line in examples.lines() {
                    notes.text([roman(line.trim_start())]);
                }
                notes.control("fi", []);
            }
            _ => {
                notes
                    .control(if at == 0 { "SH" } else { "PP" }, if at == 0 { vec!["NOTES"] } else { vec![] });
                for line in paragraph.lines() {
                    notes.text([roman(line)]).control("br", []);
                }
            }
        }
    }
    notes.to_writer(out)
}
