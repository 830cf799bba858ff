//! What is longer than the screen goes through a pager, as git's output does.

use std::io::{self, Stdout, Write};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{JoinHandle, spawn};

use super::interrupts::Interrupts;
use super::screen::Screen;

/// Where nothing else is asked for: what fits is left as it is, colours are colours, nothing is wiped away.
const DEFAULT: [&str; 2] = ["less", "-FRX"];

/// What `less` and `lv` need in order to show colours and UTF-8, unless the person has said otherwise.
const ENVIRONMENT: [(&str, &str); 3] = [("LESS", "FRX"), ("LESSCHARSET", "utf-8"), ("LV", "-c")];

/// Statuses of a shell that could not run the command.
const NOT_RUN: [i32; 2] = [126, 127];

/// What a shell calls the status of a command that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Writes to a terminal, through a pager once it gets longer than the screen.
pub(super) struct Pager {
    screen: Screen,
    state: State,
}

enum State {
    /// It still fits; the text, and the lines that it takes.
    Fits(Vec<u8>, usize),
    Runs(Running),
    /// There is no pager.
    Without(Stdout),
    /// It was left, or never ran.
    Left,
}

/// A pager that has the terminal.
struct Running {
    stdin: ChildStdin,
    /// It has all that there is.
    has_all: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<ExitStatus>>,
}

impl Pager {
    /// Before a terminal.
    pub(super) fn new(screen: Screen) -> Pager {
        Pager { screen, state: State::Fits(Vec::new(), 0) }
    }

    /// Whether the person wants none (`PAGER` is empty, or `cat`), or the terminal can do too little for the usual one.
    pub(super) fn is_unwanted() -> bool {
        match std::env::var("PAGER") {
            Ok(pager) => matches!(pager.trim(), "" | "cat"),
            Err(_) => std::env::var("TERM").is_ok_and(|terminal| terminal == "dumb"),
        }
    }

    /// Waits for the pager's end; an error if it did not run.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.show()?;
        match std::mem::replace(&mut self.state, State::Left) {
            State::Runs(running) => running.finish(),
            other => {
                self.state = other;
                Ok(())
            }
        }
    }

    /// Writes what fits on the screen, all that there was.
    fn show(&mut self) -> io::Result<()> {
        if let State::Fits(text, _) = &mut self.state {
            let text = std::mem::take(text);
            self.state = State::Without(io::stdout());
            self.write_all(&text)?;
            self.flush()?;
        }
        Ok(())
    }

    fn start(&mut self, text: &[u8]) -> io::Result<()> {
        self.state = match Running::start() {
            Some(running) => State::Runs(running),
            None => State::Without(io::stdout()),
        };
        self.write_all(text)
    }
}

impl Running {
    /// Starts it; nothing where the usual one is not installed.
    fn start() -> Option<Running> {
        // Ctrl-C is a command of `less`. It reaches this process too, which must not end and leave the terminal to both the
        // pager and the shell: it goes on until the pager closes its input. And it may come as soon as the pager is there.
        let interrupts = Interrupts::keep().ok()?;
        let Ok(mut child) = command().stdin(Stdio::piped()).spawn() else {
            interrupts.then(|| std::process::exit(INTERRUPTED)); // there is no pager that they could be for
            return None;
        };
        let stdin = child.stdin.take()?;
        let has_all = Arc::<AtomicBool>::default();
        let wants_more = Arc::clone(&has_all);
        let thread = spawn(move || {
            let status = child.wait()?;
            // Somebody has seen enough. What else there is may be long in coming, and nobody would interrupt it.
            if !wants_more.load(Relaxed) && !has_not_run(status) {
                std::process::exit(0);
            }
            Ok(status)
        });
        Some(Running { stdin, has_all, thread })
    }

    /// Waits until it was left; an error if it did not run.
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
    let mut command = match std::env::var("PAGER") {
        Ok(pager) => {
            let mut shell = Command::new("sh"); // as POSIX has it for `man`: any command that a shell takes
            shell.args(["-c", &pager]);
            shell
        }
        Err(_) => {
            let mut less = Command::new(DEFAULT[0]);
            less.args(&DEFAULT[1..]);
            less
        }
    };
    let unset = |name: &str| std::env::var_os(name).is_none();
    command.envs(ENVIRONMENT.into_iter().filter(|(name, _)| unset(name)));
    command
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            State::Fits(text, lines) => {
                text.extend_from_slice(bytes);
                *lines += lines_of(bytes, self.screen.columns);
                if *lines >= self.screen.rows {
                    let text = std::mem::take(text);
                    self.start(&text)?;
                }
                Ok(bytes.len())
            }
            State::Runs(running) => {
                // A pager that was left and one that never ran look the same but for their status.
                running.stdin.write(bytes).or_else(|gone| self.finish().and(Err(gone)))
            }
            State::Without(stdout) => stdout.write(bytes),
            State::Left => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.state {
            State::Fits(..) | State::Runs(_) | State::Left => Ok(()), // a pipe has no buffer here
            State::Without(stdout) => stdout.flush(),
        }
    }
}

/// Ends what a failure has left, so that its message does not fall into the pager.
impl Drop for Pager {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

/// The lines that a text takes; too many where it has wide characters or colours, which `less -F` then puts right.
fn lines_of(bytes: &[u8], columns: usize) -> usize {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| line.len().div_ceil(columns + 1)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_take_several() {
        assert_eq!(lines_of(b"one\ntwo\n", 80), 2);
        assert_eq!(lines_of(&[b'x'; 200], 80), 3);
        assert_eq!(lines_of(b"", 80), 0);
    }
}
