//! What every listener needs besides its protocol: its labels, its counters, and access to the
//! spool.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::dead_letter::{self, Allowance};
use super::{Arrival, Rejection};
use crate::config::{Listener, WhenFull};
use crate::limits::{
    DEAD_LETTERS_BYTES_PER_SOURCE_MAX, DEAD_LETTERS_PER_CONNECTION_MAX, DEAD_LETTERS_PER_SOURCE_MAX,
    FULL_RETRY_MILLISECONDS,
};
use crate::log;
use crate::metrics::SourceCounters;
use crate::record::{Batch, json, time};
use crate::spool::{AppendError, CommitObserver, Receipt, Spool};

/// One listener, as its connections use it.
pub struct Source {
    /// Shared by all connections of the listener.
    pub counters: Arc<SourceCounters>,
    spool: Arc<Spool>,
    observer: Arc<dyn CommitObserver>,
    /// For appends that are retried when the spool is full: records that the spool rejects are not
    /// lost.
    patient_witness: Arc<dyn CommitObserver>,
    when_full: WhenFull,
    /// Limits the dead letters of this source.
    letters: Mutex<Allowance>,
    service: String,
    host: Option<String>,
    labels: String,
    /// The name of this machine, which is the host of a peer on it.
    machine: String,
}

/// Counts the outcome of a source's records at each commit.
struct Accounting {
    counters: Arc<SourceCounters>,
    tries_again: bool,
}

impl CommitObserver for Accounting {
    fn committed(&self, records: u64, outcome: Result<(), &AppendError>) {
        match outcome {
            Ok(()) => {
                self.counters.accepted.inc_by(records);
            }
            Err(_) if self.tries_again => {}
            Err(refusal) => self.counters.shed.add(reason(refusal), records),
        }
    }
}

fn reason(refusal: &AppendError) -> &'static str {
    match refusal {
        AppendError::Full(_) => "full",
        AppendError::Failing(_) | AppendError::Poisoned(_) => "disk_error",
        AppendError::Closed => "stopping",
    }
}

impl Source {
    /// Returns the source of a configured listener.
    pub fn new(
        listener: &Listener,
        counters: Arc<SourceCounters>,
        spool: Arc<Spool>,
        when_full: WhenFull,
    ) -> Source {
        let label =
            |name: &str| listener.labels.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let observer = |tries_again| Arc::new(Accounting { counters: Arc::clone(&counters), tries_again });
        Source {
            observer: observer(false),
            patient_witness: observer(true),
            counters,
            spool,
            when_full,
            letters: Mutex::default(),
            service: label("service").unwrap_or_default(),
            host: label("host"),
            labels: members(&listener.labels),
            machine: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        }
    }

    /// Returns the host of records from a peer, unless the records name one: the listener's label,
    /// else the peer's address, or this machine's name if the peer is on it.
    pub fn host_of(&self, peer: Option<std::net::IpAddr>) -> String {
        match (&self.host, peer) {
            (Some(host), _) => host.clone(),
            (None, Some(address)) if !address.is_loopback() => address.to_canonical().to_string(),
            (None, _) => self.machine.clone(),
        }
    }

    /// Returns the data of a record that arrives now.
    pub fn arrival<'a>(&'a self, host: &'a str, process_id: u32) -> Arrival<'a> {
        Arrival {
            observed_timestamp: time::now(),
            service: &self.service,
            host,
            process_id,
            labels: &self.labels,
        }
    }

    /// Counts a rejected input of a client that cannot receive a response, and makes a dead letter
    /// of it unless the connection or the source has reached its limit.
    pub fn reject(
        &self,
        batch: &mut Batch,
        arrival: &Arrival<'_>,
        rejection: &Rejection,
        input: &[u8],
        connection: &mut Allowance,
    ) {
        let now = Instant::now();
        let of_connection = (DEAD_LETTERS_PER_CONNECTION_MAX, DEAD_LETTERS_BYTES_PER_SOURCE_MAX);
        if connection.admits(now, input, of_connection) && self.admits_letter(now, input) {
            dead_letter::push(batch, arrival, &self.counters.source, rejection, input);
        } else {
            self.counters.suppressed.add(rejection.reason, 1);
            if log::admits(log::LimitedMessage::RejectedInput) {
                tracing::warn!(
                    source = self.counters.source,
                    peer = arrival.host,
                    reason = rejection.reason,
                    "too many rejected inputs: no dead letter was made"
                );
            }
        }
        self.counters.rejected.add(rejection.reason, 1);
    }

    fn admits_letter(&self, now: Instant, input: &[u8]) -> bool {
        let max = (DEAD_LETTERS_PER_SOURCE_MAX, DEAD_LETTERS_BYTES_PER_SOURCE_MAX);
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).admits(now, input, max)
    }

    /// Appends for a client that waits for the result. Fails if the records cannot become durable
    /// soon.
    pub async fn append(&self, batch: &Batch) -> Result<Receipt, AppendError> {
        let refusal = match self.spool.append(batch, &self.observer).await {
            Ok(receipt) => return Ok(receipt),
            Err(refusal) => refusal,
        };
        self.counters.shed.add(reason(&refusal), u64::from(batch.count()));
        Err(refusal)
    }

    /// Appends for a client that cannot receive a result. At the ceiling its records are shed and
    /// counted, or, if the operator prefers so, the client has to wait.
    pub async fn append_or_shed(&self, batch: &Batch) {
        let result = match self.when_full {
            // The observer counts the rest.
            WhenFull::Shed => self.spool.append(batch, &self.observer).await.map(|_receipt| ()),
            WhenFull::Block => self.append_patiently(batch).await,
        };
        if let Err(refusal) = result {
            self.counters.shed.add(reason(&refusal), u64::from(batch.count()));
        }
    }

    /// Retries until the batch is durable: only the commit shows whether the spool has room for it.
    async fn append_patiently(&self, batch: &Batch) -> Result<(), AppendError> {
        loop {
            let result = match self.spool.append(batch, &self.patient_witness).await {
                Ok(receipt) => receipt.durable().await.map(|_id| ()),
                Err(refusal) => Err(refusal),
            };
            match result {
                Err(refusal) if refusal.may_pass() => {
                    sleep(Duration::from_millis(FULL_RETRY_MILLISECONDS)).await;
                }
                result => return result,
            }
        }
    }

    /// Waits for room in the spool, before anything is read that would have to be kept during the
    /// wait. Returns false if the disk is stalled: what is read then must not wait again.
    pub async fn room(&self) -> bool {
        while !self.spool.room().await {
            if self.when_full == WhenFull::Shed {
                return false;
            }
            sleep(Duration::from_millis(FULL_RETRY_MILLISECONDS)).await;
        }
        true
    }

    /// Counts a batch for which the spool has no room.
    pub fn shed(&self, batch: &Batch) {
        self.counters.shed.add("full", u64::from(batch.count()));
    }

    /// Appends if that is possible without waiting. Returns false if it is not.
    pub fn try_append(&self, batch: &Batch) -> bool {
        self.when_full == WhenFull::Shed
            && matches!(self.spool.try_append(batch, &self.observer), Some(Ok(_)))
    }
}

/// Returns the labels that are not fields of the record, as JSON members.
fn members(labels: &[(String, String)]) -> String {
    let mut out = Vec::new();
    for (name, value) in labels.iter().filter(|(name, _)| name != "service" && name != "host") {
        if !out.is_empty() {
            out.push(b',');
        }
        json::string(&mut out, name);
        out.push(b':');
        json::string(&mut out, value);
    }
    String::from_utf8(out).unwrap_or_default() // JSON strings are UTF-8
}
