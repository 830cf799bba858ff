//! Sends output that is longer than the screen through a pager, as git does.

use std::io::{self, Stdout, Write};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{JoinHandle, spawn};

use super::interrupts::Interrupts;
use super::screen::Screen;

/// The pager if `PAGER` is not set. Its options: leave output in place if it fits on the screen
/// (F), show colours (R), do not clear the screen (X).
const DEFAULT: (&str, &str) = ("less", "-FRX");

/// Variables that `less` and `lv` need in order to show colours and UTF-8; they are not set if the
/// user has set them.
const ENVIRONMENT: [(&str, &str); 3] = [("LESS", "FRX"), ("LESSCHARSET", "utf-8"), ("LV", "-c")];

/// Exit statuses of a shell that could not run the command.
const NOT_RUN: [i32; 2] = [126, 127];

/// The exit status with which a shell reports a command that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Writes to a terminal, through a pager once the output is longer than the screen.
pub(crate) struct Pager {
    screen: Screen,
    state: PagerState,
}

enum PagerState {
    /// The output still fits on the screen: its text, and the lines that it takes.
    Fits(Vec<u8>, usize),
    Runs(Running),
    /// The output goes to the terminal without a pager.
    Without(Stdout),
    /// The user has left the pager, or the pager never ran.
    Left,
}

/// A running pager, which controls the terminal.
struct Running {
    stdin: ChildStdin,
    /// Set once the pager has received all output.
    has_all: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<ExitStatus>>,
}

impl Pager {
    /// Returns a pager for this terminal.
    pub(crate) fn new(screen: Screen) -> Pager {
        Pager { screen, state: PagerState::Fits(Vec::new(), 0) }
    }

    /// Returns true if the user wants no pager (`PAGER` is empty, or `cat`), or if the terminal
    /// cannot do enough for the default pager.
    pub(crate) fn is_unwanted() -> bool {
        match std::env::var("PAGER") {
            Ok(pager) => matches!(pager.trim(), "" | "cat"),
            Err(_) => std::env::var("TERM").is_ok_and(|terminal| terminal == "dumb"),
        }
    }

    /// Waits for the end of the pager; fails if the pager did not run.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.show()?;
        match std::mem::replace(&mut self.state, PagerState::Left) {
            PagerState::Runs(running) => running.finish(),
            other => {
                self.state = other;
                Ok(())
            }
        }
    }

    /// Writes output that fits on the screen, once all of it is there.
    fn show(&mut self) -> io::Result<()> {
        if let PagerState::Fits(text, _) = &mut self.state {
            let text = std::mem::take(text);
            self.state = PagerState::Without(io::stdout());
            self.write_all(&text)?;
            self.flush()?;
        }
        Ok(())
    }

    fn start(&mut self, text: &[u8]) -> io::Result<()> {
        self.state = match Running::start() {
            Some(running) => PagerState::Runs(running),
            None => PagerState::Without(io::stdout()),
        };
        self.write_all(text)
    }
}

impl Running {
    /// Starts the pager; returns `None` if the default pager is not installed.
    fn start() -> Option<Running> {
        // Ctrl-C is a command of `less`. It also reaches this process, which must not end and leave
        // the terminal to both the pager and the shell: this process continues until the pager
        // closes its input. Ctrl-C may arrive as soon as the pager runs, so it is handled before
        // the start.
        let interrupts = Interrupts::take_over().ok()?;
        let Ok(mut child) = command().stdin(Stdio::piped()).spawn() else {
            // There is no pager that Ctrl-C could be meant for.
            interrupts.on_first(|| std::process::exit(INTERRUPTED));
            return None;
        };
        let stdin = child.stdin.take()?;
        let has_all = Arc::<AtomicBool>::default();
        let wants_more = Arc::clone(&has_all);
        let thread = spawn(move || {
            let status = child.wait()?;
            // The user has left the pager before its end. The remaining output may take long, and
            // the user would not interrupt it.
            if !wants_more.load(Relaxed) && !has_not_run(status) {
                std::process::exit(0);
            }
            Ok(status)
        });
        Some(Running { stdin, has_all, thread })
    }

    /// Waits until the user has left the pager; fails if the pager did not run.
    fn finish(self) -> io::Result<()> {
        self.has_all.store(true, Relaxed);
        drop(self.stdin);
        let status = self.thread.join().map_err(|_| io::Error::other("the pager was lost"))??;
        match has_not_run(status) {
            true => Err(io::Error::other("the pager that PAGER names did not run; --no-pager does without")),
            false => Ok(()),
        }
    }
}

fn has_not_run(status: ExitStatus) -> bool {
    status.code().is_some_and(|code| NOT_RUN.contains(&code))
}

fn command() -> Command {
    let (program, arguments) = match std::env::var("PAGER") {
        // As POSIX specifies for `man`: any command that a shell accepts.
        Ok(pager) => ("sh", vec!["-c".into(), pager]),
        Err(_) => (DEFAULT.0, vec![DEFAULT.1.into()]),
    };
    let unset = |name: &str| std::env::var_os(name).is_none();
    let mut command = Command::new(program);
    command.args(arguments).envs(ENVIRONMENT.into_iter().filter(|(name, _)| unset(name)));
    command
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            PagerState::Fits(text, lines) => {
                text.extend_from_slice(bytes);
                *lines += lines_of(bytes, self.screen.columns);
                if *lines >= self.screen.rows {
                    let text = std::mem::take(text);
                    self.start(&text)?;
                }
                Ok(bytes.len())
            }
            PagerState::Runs(running) => {
                // A pager that the user has left and a pager that never ran differ only in their
                // status.
                running.stdin.write(bytes).or_else(|gone| self.finish().and(Err(gone)))
            }
            PagerState::Without(stdout) => stdout.write(bytes),
            PagerState::Left => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.state {
            PagerState::Fits(..) | PagerState::Runs(_) | PagerState::Left => Ok(()), // a pipe has no buffer here
            PagerState::Without(stdout) => stdout.flush(),
        }
    }
}

/// Ends the pager after a failure, so that the failure's message is not written into the pager.
impl Drop for Pager {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

/// Returns the lines that a text takes: too many if it has wide characters or colours, which
/// `less -F` then corrects.
fn lines_of(bytes: &[u8], columns: usize) -> usize {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| line.len().div_ceil(columns + 1)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_line_counts_as_several() {
        assert_eq!(lines_of(b"one\ntwo\n", 80), 2);
        assert_eq!(lines_of(&[b'x'; 200], 80), 3);
        assert_eq!(lines_of(b"", 80), 0);
    }
}
