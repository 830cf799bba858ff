//! Standard output: buffered, knowing whether a terminal is at its end, and quiet when its reader has gone.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use clap::ArgMatches;

use super::pager::Pager;
use super::paint::Paint;
use super::screen::Screen;
use crate::failure::Failure;

/// Where the data of a command goes.
pub(super) struct Output {
    inner: BufWriter<Sink>,
    /// The terminal that shows it, which control characters must not reach.
    pub(super) screen: Option<Screen>,
    /// Whether and how it is coloured.
    pub(super) paint: Paint,
}

enum Sink {
    Stdout(Stdout),
    Pager(Pager),
    #[cfg(test)]
    Memory(std::rc::Rc<std::cell::RefCell<Vec<u8>>>),
}

/// The output could not be written.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct OutputError(io::Error);

impl Output {
    /// The process's standard output, coloured and through a pager as its flags and environment say.
    pub(super) fn stdout(matches: &ArgMatches) -> Output {
        let screen = io::stdout().is_terminal().then(Screen::of_stdout);
        let choice = matches.try_get_one::<String>("color").ok().flatten().map_or("never", String::as_str);
        let paint = Paint::choose(choice, screen.is_some(), |name| std::env::var(name).ok());
        let sink = match screen {
            Some(screen) if wants_pager(matches) => Sink::Pager(Pager::new(screen)),
            _ => Sink::Stdout(io::stdout()),
        };
        Output { inner: BufWriter::new(sink), screen, paint }
    }

    /// Whether a terminal shows it.
    pub(super) fn is_terminal(&self) -> bool {
        self.screen.is_some()
    }

    /// Writes what is still in the buffer, and waits until a pager was left.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        self.inner.flush().map_err(failed)?;
        match self.inner.get_mut() {
            Sink::Pager(pager) => pager.finish().map_err(failed),
            _ => Ok(()),
        }
    }
}

/// Commands that page have the flag `--no-pager`; what never ends is not paged.
fn wants_pager(matches: &ArgMatches) -> bool {
    let flag = |name| matches.try_get_one::<bool>(name).ok().flatten().copied();
    flag("no-pager") == Some(false) && flag("follow") != Some(true) && !Pager::is_unwanted()
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::Stdout(stdout) => stdout.write(bytes),
            Sink::Pager(pager) => pager.write(bytes),
            #[cfg(test)]
            Sink::Memory(memory) => memory.borrow_mut().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::Stdout(stdout) => stdout.flush(),
            Sink::Pager(pager) => pager.flush(),
            #[cfg(test)]
            Sink::Memory(_) => Ok(()),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Tells a person on standard error what the data does not say. Nothing hangs on whether that could be written.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "note: {text}");
}

/// The failure for an error while writing an [`Output`].
pub(super) fn failed(error: io::Error) -> Failure {
    Failure::new("cannot write the output").because(OutputError(error))
}

/// Whether it failed because nobody reads the output any more, as in `logboom query | head`.
pub(super) fn is_reader_gone(failure: &Failure) -> bool {
    failure.cause::<OutputError>().is_some_and(|error| error.0.kind() == io::ErrorKind::BrokenPipe)
}

/// What `write` prints, for tests; on a terminal of 80 by 24, if it is one.
#[cfg(test)]
pub(super) fn printed(is_terminal: bool, paint: Paint, write: impl FnOnce(&mut Output)) -> String {
    let screen = is_terminal.then_some(Screen { columns: 80, rows: 24, is_unicode: true });
    printed_on(screen, paint, write)
}

/// What `write` prints on such a screen, for tests.
#[cfg(test)]
pub(super) fn printed_on(screen: Option<Screen>, paint: Paint, write: impl FnOnce(&mut Output)) -> String {
    let shared = std::rc::Rc::default();
    let sink = Sink::Memory(std::rc::Rc::clone(&shared));
    let mut output = Output { inner: BufWriter::new(sink), screen, paint };
    write(&mut output);
    output.finish().unwrap();
    String::from_utf8(shared.take()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_left_is_told_from_other_failures() {
        let gone = failed(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(is_reader_gone(&gone));
        assert!(!is_reader_gone(&failed(io::Error::from(io::ErrorKind::StorageFull))));
        let elsewhere = Failure::new("x").because(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(!is_reader_gone(&elsewhere));
    }
}
