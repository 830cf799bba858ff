//! Standard output: buffered, aware of whether it is a terminal, and quiet once its reader has
//! gone.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use clap::ArgMatches;

use super::pager::Pager;
use super::paint::Paint;
use super::screen::Screen;
use super::text;
use crate::cli::arguments;
use crate::failure::Failure;

/// The destination of a command's data.
pub(crate) struct Output {
    inner: BufWriter<Destination>,
    /// The terminal that shows the output, which control characters must not reach.
    pub(crate) screen: Option<Screen>,
    /// Whether and how the output is coloured.
    pub(crate) paint: Paint,
}

enum Destination {
    Stdout(Stdout),
    Pager(Pager),
    #[cfg(test)]
    Memory(std::rc::Rc<std::cell::RefCell<Vec<u8>>>),
}

/// The failure of a write to the output.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct OutputError(io::Error);

impl Output {
    /// Returns the process's standard output, with colours and a pager according to flags and
    /// environment.
    pub(crate) fn stdout(matches: &ArgMatches) -> Output {
        let screen = io::stdout().is_terminal().then(Screen::of_stdout);
        let choice = arguments::text(matches, "color").unwrap_or("never");
        let paint = Paint::choose(choice, screen.is_some(), |name| std::env::var(name).ok());
        let destination = match screen {
            Some(screen) if wants_pager(matches) => Destination::Pager(Pager::new(screen)),
            _ => Destination::Stdout(io::stdout()),
        };
        Output { inner: BufWriter::new(destination), screen, paint }
    }

    /// Returns true if a terminal shows the output.
    pub(crate) fn is_terminal(&self) -> bool {
        self.screen.is_some()
    }

    /// Writes formatted text: `write!` and `writeln!` call this method.
    pub(crate) fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> Result<(), Failure> {
        self.inner.write_fmt(text).map_err(failed)
    }

    /// Writes bytes.
    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.inner.write_all(bytes).map_err(failed)
    }

    /// Writes what is still in the buffer.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.inner.flush().map_err(failed)
    }

    /// Writes a line of JSON; on a terminal, its control characters are escaped.
    pub(crate) fn write_json(&mut self, line: &[u8]) -> Result<(), Failure> {
        match self.is_terminal() {
            true => self.write_all(text::json(&String::from_utf8_lossy(line)).as_bytes())?,
            false => self.write_all(line)?,
        }
        self.write_all(b"\n")
    }

    /// Writes the rows of CSV that `append_rows` appends; on a terminal, their control characters
    /// are escaped.
    pub(crate) fn write_csv(
        &mut self,
        append_rows: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut rows = Vec::new();
        append_rows(&mut rows).map_err(failed)?;
        match self.is_terminal() {
            true => self.write_all(text::lines(&String::from_utf8_lossy(&rows)).as_bytes()),
            false => self.write_all(&rows),
        }
    }

    /// Writes what is still in the buffer, and waits until the user has left a pager.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        self.flush()?;
        match self.inner.get_mut() {
            Destination::Pager(pager) => pager.finish().map_err(failed),
            _ => Ok(()),
        }
    }
}

/// Returns true if the output is to be paged. Commands that page have the flag `--no-pager`; output
/// without an end is not paged.
fn wants_pager(matches: &ArgMatches) -> bool {
    let may_page = matches.try_get_one::<bool>("no-pager").ok().flatten() == Some(&false);
    may_page && !arguments::is_set(matches, "follow") && !Pager::is_unwanted()
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Destination::Stdout(stdout) => stdout.write(bytes),
            Destination::Pager(pager) => pager.write(bytes),
            #[cfg(test)]
            Destination::Memory(memory) => memory.borrow_mut().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Destination::Stdout(stdout) => stdout.flush(),
            Destination::Pager(pager) => pager.flush(),
            #[cfg(test)]
            Destination::Memory(_) => Ok(()),
        }
    }
}

/// Writes a note to standard error, for what is not part of the data. Errors are ignored: nothing
/// depends on the note.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "note: {text}");
}

/// Returns the failure for an error while writing an [`Output`].
fn failed(error: io::Error) -> Failure {
    Failure::new("cannot write the output").because(OutputError(error))
}

/// Returns true if the command failed because the output has no reader any more, as in
/// `logboom query | head`.
pub(crate) fn is_reader_gone(failure: &Failure) -> bool {
    failure.cause::<OutputError>().is_some_and(|error| error.0.kind() == io::ErrorKind::BrokenPipe)
}

/// Returns what `write` prints, for tests; on a terminal of 80 by 24 if `is_terminal`.
#[cfg(test)]
pub(crate) fn printed(is_terminal: bool, paint: Paint, write: impl FnOnce(&mut Output)) -> String {
    let screen = is_terminal.then_some(Screen { columns: 80, rows: 24, is_unicode: true });
    printed_on(screen, paint, write)
}

/// Returns what `write` prints on this screen, for tests.
#[cfg(test)]
pub(crate) fn printed_on(screen: Option<Screen>, paint: Paint, write: impl FnOnce(&mut Output)) -> String {
    let shared = std::rc::Rc::default();
    let destination = Destination::Memory(std::rc::Rc::clone(&shared));
    let mut output = Output { inner: BufWriter::new(destination), screen, paint };
    write(&mut output);
    output.finish().unwrap();
    String::from_utf8(shared.take()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_reader_is_distinguished_from_other_failures() {
        let gone = failed(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(is_reader_gone(&gone));
        assert!(!is_reader_gone(&failed(io::Error::from(io::ErrorKind::StorageFull))));
        let elsewhere = Failure::new("x").because(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(!is_reader_gone(&elsewhere));
    }
}
