//! Standard output: buffered, knowing whether a terminal is at its end, and quiet when its reader has gone.

use std::io::{self, BufWriter, IsTerminal, Write};

use clap::ArgMatches;

use super::paint::Paint;
use crate::failure::Failure;

/// Where the data of a command goes.
pub(super) struct Output {
    inner: BufWriter<Box<dyn Write>>,
    /// Whether a terminal reads it, and control characters must not reach it.
    pub(super) is_terminal: bool,
    /// Whether and how it is coloured.
    pub(super) paint: Paint,
}

/// The output could not be written.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct OutputError(io::Error);

impl Output {
    /// The process's standard output, coloured as its flags and environment say.
    pub(super) fn stdout(matches: &ArgMatches) -> Output {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let choice = matches.try_get_one::<String>("color").ok().flatten().map_or("never", String::as_str);
        let paint = Paint::choose(choice, is_terminal, |name| std::env::var(name).ok());
        Output { inner: BufWriter::new(Box::new(stdout)), is_terminal, paint }
    }

    /// Writes what is still in the buffer.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        self.inner.flush().map_err(failed)
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

/// The failure for an error while writing an [`Output`].
pub(super) fn failed(error: io::Error) -> Failure {
    Failure::new("cannot write the output").because(OutputError(error))
}

/// Whether it failed because nobody reads the output any more, as in `logboom query | head`.
pub(super) fn is_reader_gone(failure: &Failure) -> bool {
    failure.cause::<OutputError>().is_some_and(|error| error.0.kind() == io::ErrorKind::BrokenPipe)
}

/// What `write` prints, for tests.
#[cfg(test)]
pub(super) fn printed(is_terminal: bool, paint: Paint, write: impl FnOnce(&mut Output)) -> String {
    #[derive(Clone, Default)]
    struct Shared(std::rc::Rc<std::cell::RefCell<Vec<u8>>>);
    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let shared = Shared::default();
    let mut output = Output { inner: BufWriter::new(Box::new(shared.clone())), is_terminal, paint };
    write(&mut output);
    output.finish().unwrap();
    String::from_utf8(shared.0.take()).unwrap()
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
