//! `logboom tail`: shows records as they come.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{sleep, spawn};
use std::time::Duration;

use clap::ArgMatches;
use rustix::event::{PollFd, PollFlags, poll};
use serde::Deserialize;

use super::client::{self, Client};
use super::events::{Event, Events};
use super::interrupts::Interrupts;
use super::output::Output;
use super::writer::Writer;
use crate::failure::Failure;
use crate::limits::{TAIL_RETRY_MILLISECONDS_MAX, TAIL_RETRY_MILLISECONDS_MIN};

/// Follows until it is interrupted.
pub(super) fn run(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let words = matches.get_many::<String>("query").into_iter().flatten().map(String::as_str);
    let follow = Follow {
        client: Client::new(matches)?,
        query: words.collect::<Vec<_>>().join(" "),
        last: matches.get_one::<u64>("last").copied().unwrap_or(0),
        after: None,
    };
    let mut writer = Writer::new(matches, None, output)?;
    writer.begin(output)?;
    writer.catch_up(false, output)?; // nothing is held back until a screen is full
    follow.run(output, |record, output| writer.write(record, output))
}

/// What to follow, and from where on.
pub(super) struct Follow {
    /// The server.
    pub(super) client: Client,
    /// What the records must match.
    pub(super) query: String,
    /// Begin with so many of the last that match.
    pub(super) last: u64,
    /// Or after the record with this id; behind it once the stream has gone on.
    pub(super) after: Option<String>,
}

/// What the server says of records that this client was too slow for.
#[derive(Deserialize)]
struct Missed {
    count: u64,
}

impl Follow {
    /// Has every record (the text of its JSON) shown as it comes, and tells on standard error what was missed, and when the
    /// connection is lost and made again. Returns at an interrupt. It fails where the first request does, where showing
    /// does, or where the server does not understand the request any more.
    pub(super) fn run(
        mut self,
        output: &mut Output,
        mut show: impl FnMut(&[u8], &mut Output) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut events = self.connect()?;
        let end = End::watch();
        loop {
            let lost = loop {
                match events.next() {
                    Ok(Some(event)) => self.take(&event, output, &mut show)?,
                    Ok(None) => break "the server has ended the stream".to_owned(),
                    Err(failure) => break first_line(&failure),
                }
                if end.is_wanted() {
                    return output.finish();
                }
                if !events.has_more() {
                    output.finish()?;
                }
            };
            output.finish()?;
            tell(&format!("{lost}; trying again"));
            self.after = events.last_id();
            events = self.connect_again(&end)?;
            tell("connected again");
        }
    }

    fn connect(&self) -> Result<Events, Failure> {
        let mut parameters = vec![("q", self.query.clone())];
        match &self.after {
            Some(id) => parameters.push(("last_event_id", id.clone())),
            None => parameters.push(("last", self.last.to_string())),
        }
        let answer = self.client.follow("/api/v1/tail", &parameters)?;
        Ok(Events::new(answer, self.after.clone()))
    }

    /// Tries until it succeeds.
    fn connect_again(&self, end: &End) -> Result<Events, Failure> {
        let mut wait = TAIL_RETRY_MILLISECONDS_MIN;
        loop {
            sleep(Duration::from_millis(wait));
            match self.connect() {
                Ok(events) => return Ok(events),
                Err(failure) if failure.exit_code() == ExitCode::from(2) || end.is_wanted() => {
                    return Err(failure);
                }
                Err(_) => wait = (2 * wait).min(TAIL_RETRY_MILLISECONDS_MAX),
            }
        }
    }

    fn take(
        &self,
        event: &Event,
        output: &mut Output,
        show: &mut impl FnMut(&[u8], &mut Output) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match event.name.as_str() {
            "record" => show(&event.data, output),
            "missed" => {
                let Missed { count } = serde_json::from_slice(&event.data).map_err(client::not_understood)?;
                output.finish()?;
                tell(&format!("missed {count} record{}", if count == 1 { "" } else { "s" }));
                Ok(())
            }
            _ => Ok(()), // what only later versions know
        }
    }
}

fn first_line(failure: &Failure) -> String {
    let text = failure.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

fn tell(text: &str) {
    // Nobody is left to tell if it cannot be written.
    let _ = writeln!(std::io::stderr(), "logboom: {text}");
}

/// Whether somebody wants an end. While nothing is read or written, the program ends without being asked.
struct End(Arc<AtomicBool>);

/// Time to finish the line that is being written.
const FINISH: Duration = Duration::from_millis(100);

impl End {
    /// Ends well at Ctrl-C, and when nobody reads the output any more though nothing is to be written.
    fn watch() -> End {
        let wanted = Arc::<AtomicBool>::default();
        let end = End(Arc::clone(&wanted));
        // Kept before anything is shown: who has seen something may interrupt it.
        if let Ok(interrupts) = Interrupts::keep() {
            interrupts.then(move || {
                wanted.store(true, Relaxed);
                sleep(FINISH);
                std::process::exit(0);
            });
        }
        spawn(|| {
            let stdout = std::io::stdout();
            // Asks for nothing but what is always told: that the other end was closed.
            if poll(&mut [PollFd::new(&stdout, PollFlags::empty())], None).is_ok() {
                std::process::exit(0);
            }
        });
        end
    }

    fn is_wanted(&self) -> bool {
        self.0.load(Relaxed)
    }
}
