//! Follows new records until it is interrupted: for `tail` and `query --follow`.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{sleep, spawn};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use serde::Deserialize;

use crate::cli::client::{ApiClient, EventStream, StreamEvent, http};
use crate::cli::terminal::{Interrupts, Output, numbers::counted, output};
use crate::failure::Failure;
use crate::limits::{TAIL_RETRY_MILLISECONDS_MAX, TAIL_RETRY_MILLISECONDS_MIN};

/// Which records to follow, and where to start.
pub(super) struct Follow {
    /// The server.
    pub(super) client: ApiClient,
    /// The query that the records must match.
    pub(super) query: String,
    /// Start with this many of the latest matching records.
    pub(super) last: u64,
    /// Start after the record with this id instead. After a lost connection: the last id of the
    /// stream.
    pub(super) after: Option<String>,
}

/// The server's report of records that it skipped because this client was too slow.
#[derive(Deserialize)]
struct Missed {
    count: u64,
}

impl Follow {
    /// Shows every record (the text of its JSON) as it arrives. Reports on standard error how many
    /// records were missed, and when the connection is lost and made again. Returns at an
    /// interrupt. Fails if the first request fails, if showing a record fails, or if the server
    /// rejects a later request as invalid.
    pub(super) fn run(
        mut self,
        output: &mut Output,
        mut show: impl FnMut(&[u8], &mut Output) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut events = self.connect()?;
        let stop = StopSignal::watch();
        loop {
            let lost = loop {
                match events.next() {
                    Ok(Some(event)) => self.handle(&event, output, &mut show)?,
                    Ok(None) => break "the server has ended the stream".to_owned(),
                    Err(failure) => break first_line(&failure),
                }
                if stop.is_wanted() {
                    return output.finish();
                }
                if !events.has_more() {
                    output.finish()?;
                }
            };
            output.finish()?;
            output::note(&format!("{lost}; trying again"));
            self.after = events.last_id;
            events = self.connect_again(&stop)?;
            output::note("connected again");
        }
    }

    fn connect(&self) -> Result<EventStream, Failure> {
        let mut parameters = vec![("q", self.query.clone())];
        match &self.after {
            Some(id) => parameters.push(("last_event_id", id.clone())),
            None => parameters.push(("last", self.last.to_string())),
        }
        let answer = self.client.follow("/api/v1/tail", &parameters)?;
        Ok(EventStream { answer, last_id: self.after.clone() })
    }

    /// Retries until it succeeds.
    fn connect_again(&self, stop: &StopSignal) -> Result<EventStream, Failure> {
        let mut wait = TAIL_RETRY_MILLISECONDS_MIN;
        loop {
            sleep(Duration::from_millis(wait));
            match self.connect() {
                Ok(events) => return Ok(events),
                Err(failure) if failure.exit_code() == ExitCode::from(2) || stop.is_wanted() => {
                    return Err(failure);
                }
                Err(_) => wait = (2 * wait).min(TAIL_RETRY_MILLISECONDS_MAX),
            }
        }
    }

    fn handle(
        &self,
        event: &StreamEvent,
        output: &mut Output,
        show: &mut impl FnMut(&[u8], &mut Output) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match event.name.as_str() {
            "record" => show(&event.data, output),
            "missed" => {
                let Missed { count } = http::parse(&event.data)?;
                output.finish()?;
                output::note(&format!("missed {}", counted(count, "record")));
                Ok(())
            }
            _ => Ok(()), // an event that only later versions define
        }
    }
}

fn first_line(failure: &Failure) -> String {
    let text = failure.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// Whether the program is to stop. While nothing is read or written, the program exits without
/// checking this.
struct StopSignal(Arc<AtomicBool>);

/// Time to finish the line that is being written.
const FINISH: Duration = Duration::from_millis(100);

impl StopSignal {
    /// Exits successfully at Ctrl-C, and when the output has lost its reader while nothing is to be
    /// written.
    fn watch() -> StopSignal {
        let wanted = Arc::<AtomicBool>::default();
        let stop = StopSignal(Arc::clone(&wanted));
        // Installed before anything is shown: a person who has seen output may interrupt the
        // program.
        if let Ok(interrupts) = Interrupts::take_over() {
            interrupts.on_first(move || {
                wanted.store(true, Relaxed);
                sleep(FINISH);
                std::process::exit(0);
            });
        }
        spawn(|| {
            let stdout = std::io::stdout();
            // No event is requested: `poll` always reports that the other end was closed.
            if poll(&mut [PollFd::new(&stdout, PollFlags::empty())], None).is_ok() {
                std::process::exit(0);
            }
        });
        stop
    }

    fn is_wanted(&self) -> bool {
        self.0.load(Relaxed)
    }
}
