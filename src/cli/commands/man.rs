//! `logboom man`: manual pages, generated from the declarations of the command line.

use std::fs;
use std::io;
use std::path::Path;

use clap::{ArgMatches, Command};
use clap_mangen::Man;
use roff::{Roff, roman};

use crate::cli::arguments;
use crate::failure::Failure;

/// Writes a manual page for each command.
pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let folder = Path::new(arguments::text(matches, "folder").unwrap_or("."));
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
