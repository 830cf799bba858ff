//! Writes each chunk in one transaction: a COPY of its rows, then the new position.
//!
//! The writer waits for three responses: that the COPY may begin, how many rows it has written, and
//! the outcome of all statements after it. COMMIT is sent together with the statement that moves
//! the position; if that statement fails, COMMIT rolls back.
//!
//! The COPY reports the number of rows that it has written, without those for which a trigger
//! returned NULL. Every record of a chunk becomes a row or a dead letter before the position moves:
//! missing records are found by looking up the ids in `logs`, and become dead letters. If they
//! cannot be distinguished from the others, nothing is committed, and the store reports why. A row
//! that a trigger deletes after it was written counts as deleted by the database's owner, as by any
//! other statement.
//!
//! The transaction fails unless the position is still where this process left it, under the epoch
//! of this connection. So statements of an earlier connection, presumed dead, that still reach the
//! server later are not committed. The statement that moves the position comes last: a connection
//! that dies in the middle of a COPY leaves no lock that others wait for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::pin::{Pin, pin};

use bytes::Bytes;
use futures_util::{SinkExt, join, try_join};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, CopyInSink, Error, Statement};

use super::connect::{ConnectionDriver, Fault, Session, obstacles};
use super::copy::{COPY, CopyRows};
use super::owner::Claimed;
use super::partitions::{Day, Days, day_of};
use crate::limits::POSTGRES_PIECE_BYTES;
use crate::log;
use crate::record::{RecordId, json, time};
use crate::spool::Chunk;
use crate::store::WriteOutcome;

/// A commit need not wait for the disk: the spool keeps the records until `sync` has waited for it.
const BEGIN: &str = "BEGIN READ WRITE; SET LOCAL synchronous_commit = off";

/// Divides by zero if no row matches, which turns the COMMIT after it into a ROLLBACK.
const ADVANCE: &str = "WITH moved AS (
    UPDATE logs_node SET position = $4, checksum = $5 WHERE node = $1 AND epoch = $2 AND position = $3 RETURNING 1
) SELECT 1 / count(*) FROM moved";

/// Waits as the server's owner has configured `synchronous_commit`, including for standbys, but
/// replaces `off` by `on`: the commit is always durable.
const DURABLY: &str = "BEGIN READ WRITE; SELECT set_config('synchronous_commit', \
    CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, true)";

const SYNC: &str = "UPDATE logs_node SET synced = position WHERE node = $1 AND epoch = $2 AND position = $3";

// `ON CONFLICT` names no columns, because that would require the right to read them.
const PUT_ASIDE: &str = "INSERT INTO logs_dead_letter (node, id, reason, record)
    SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[]) ON CONFLICT DO NOTHING";

/// A connection that is ready to write as a node.
pub(super) struct NodeWriter {
    pub(super) session: Session,
    pub(super) days: Days,
    /// The node that this process has claimed. Its position moves with every chunk.
    pub(super) claimed: Claimed,
    statements: Statements,
}

/// The prepared statements of a connection.
struct Statements {
    copy: Statement,
    advance: Statement,
    sync: Statement,
    put_aside: Statement,
    /// Whether the database can store any text.
    is_utf8: bool,
}

/// The transaction that writes a chunk.
struct ChunkTransaction<'a> {
    client: &'a Client,
    statements: &'a Statements,
    claimed: &'a Claimed,
    rows: &'a mut CopyRows,
    chunk: &'a Chunk,
    letters: DeadLetters,
}

/// How a transaction ended.
enum End {
    Committed,
    /// The COPY was refused, or a constraint that is checked last.
    Refused(Error),
    /// The position was not the expected one.
    Moved,
}

/// Records that become dead letters, each with the reason.
type DeadLetters = Vec<(RecordId, String)>;

impl NodeWriter {
    pub(super) async fn new(mut session: Session, days: Days, claimed: Claimed) -> Result<NodeWriter, Fault> {
        let Session { client, driver } = &mut session;
        let prepare = async {
            try_join!(
                client.prepare(COPY),
                client.prepare(ADVANCE),
                client.prepare(SYNC),
                client.prepare(PUT_ASIDE),
                client.query_one("SELECT current_setting('server_encoding') = 'UTF8'", &[])
            )
        };
        let (copy, advance, sync, put_aside, encoding) = driver.drive(prepare).await?;
        let statements = Statements { copy, advance, sync, put_aside, is_utf8: encoding.try_get(0)? };
        Ok(NodeWriter { session, days, claimed, statements })
    }

    /// Stores a chunk and moves the position to its end.
    pub(super) async fn write(&mut self, rows: &mut CopyRows, chunk: &Chunk) -> Result<WriteOutcome, Fault> {
        if chunk.first_id() < self.claimed.position {
            return Err(Fault::Gap { position: self.claimed.position, first_id: chunk.first_id() });
        }
        self.make_partitions(chunk).await?;
        let letters = match self.write_whole(rows, chunk).await? {
            Some(letters) => letters,
            None => self.write_apart(rows, chunk).await?,
        };
        self.claimed.position = chunk.end_id();
        let dead_letters = letters.len() as u64;
        if let Some((id, reason)) = letters.first()
            && log::admits(log::LimitedMessage::RefusedRecord)
        {
            let more = dead_letters - 1;
            tracing::warn!(
                id,
                reason,
                more,
                "the database refuses a record: it is stored in logs_dead_letter"
            );
        }
        Ok(WriteOutcome { stored: chunk.len() - dead_letters, dead_letters })
    }

    /// Makes all stored records durable. A commit that waits for the write-ahead log waits for all
    /// commits before it, so one sync is enough for many chunks.
    pub(super) async fn sync(&mut self) -> Result<RecordId, Fault> {
        let Session { client, driver } = &mut self.session;
        let position = self.claimed.position as i64;
        let place: [&(dyn ToSql + Sync); 3] = [&self.claimed.node, &self.claimed.epoch, &position];
        let outcome = driver
            .drive(async {
                let (begun, updated, committed) = join!(
                    client.batch_execute(DURABLY),
                    client.execute(&self.statements.sync, &place),
                    client.batch_execute("COMMIT")
                );
                begun?;
                let updated = updated?;
                committed.map(|()| updated)
            })
            .await?;
        if outcome == 0 { Err(self.explain_unmoved().await?) } else { Ok(self.claimed.position) }
    }

    /// Ends the transaction, and returns why the position could not be changed: it is not the
    /// expected one, or something prevents the change.
    async fn explain_unmoved(&mut self) -> Result<Fault, Fault> {
        let Session { client, driver } = &mut self.session;
        let Claimed { node, epoch, position, .. } = &self.claimed;
        let ours = "SELECT EXISTS (SELECT FROM logs_node WHERE node = $1 AND epoch = $2 AND position = $3)";
        let signed_position = *position as i64;
        let place: [&(dyn ToSql + Sync); 3] = [node, epoch, &signed_position];
        let explain = async {
            client.batch_execute("ROLLBACK").await?; // no effect if COMMIT has rolled back
            if !client.query_one(ours, &place).await?.try_get(0)? {
                return Ok::<_, Fault>(Fault::Moved(*position));
            }
            let by = obstacles(client, "logs_node").await?;
            Ok(Fault::KeptOut { what: "a change of the position does not arrive in `logs_node`".into(), by })
        };
        driver.drive(explain).await
    }

    async fn make_partitions(&mut self, chunk: &Chunk) -> Result<(), Fault> {
        let mut days = BTreeSet::<Day>::new();
        let mut last_day = None;
        for (_, record) in chunk.records() {
            let day = day_of(record.body.timestamp);
            if last_day.replace(day) != Some(day) {
                days.insert(day);
            }
        }
        self.days.ensure(&mut self.session, &days, day_of(time::now())).await
    }

    /// Writes everything at once, which is the usual path. Returns `None` if the database refuses
    /// one of the rows; nothing is written then.
    async fn write_whole(
        &mut self,
        rows: &mut CopyRows,
        chunk: &Chunk,
    ) -> Result<Option<DeadLetters>, Fault> {
        let (driver, mut transaction) = self.transaction(rows, chunk);
        let work = async {
            match transaction.copy(BEGIN, 0..chunk.len()).await? {
                Ok(copied) => transaction.settle(copied).await,
                Err(error) => Ok(End::Refused(error)),
            }
        };
        let end = driver.drive(work).await?;
        let letters = transaction.letters;
        match end {
            End::Committed => return Ok(Some(letters)),
            End::Moved => return Err(self.explain_unmoved().await?),
            End::Refused(error) => about_a_row(error)?,
        };
        let Session { client, driver } = &mut self.session;
        driver.drive(client.batch_execute("ROLLBACK")).await?; // no effect if COMMIT has rolled back
        Ok(None)
    }

    /// Writes a chunk that has rows which the database refuses. All of this is still one
    /// transaction.
    async fn write_apart(&mut self, rows: &mut CopyRows, chunk: &Chunk) -> Result<DeadLetters, Fault> {
        let (driver, mut transaction) = self.transaction(rows, chunk);
        let work = async {
            let copied = transaction.copy_apart().await?;
            transaction.settle(copied).await
        };
        let end = driver.drive(work).await?;
        let letters = transaction.letters;
        match end {
            End::Committed => Ok(letters),
            End::Moved => Err(self.explain_unmoved().await?),
            End::Refused(error) => Err(error.into()),
        }
    }

    fn transaction<'a>(
        &'a mut self,
        rows: &'a mut CopyRows,
        chunk: &'a Chunk,
    ) -> (&'a mut ConnectionDriver, ChunkTransaction<'a>) {
        let NodeWriter { session: Session { client, driver }, claimed, statements, .. } = self;
        let letters = DeadLetters::new();
        (driver, ChunkTransaction { client, statements, claimed, rows, chunk, letters })
    }
}

/// Returns the fault if it is about a row, and fails with it otherwise.
fn about_a_row(error: Error) -> Result<Fault, Fault> {
    let fault = Fault::from(error);
    if fault.is_about_a_row() { Ok(fault) } else { Err(fault) }
}

impl ChunkTransaction<'_> {
    /// Copies a range of rows after the statements `start`, and returns how many were written, or
    /// why one of them was refused.
    async fn copy(&mut self, start: &str, range: Range<u64>) -> Result<Result<u64, Error>, Error> {
        let Statements { copy, .. } = self.statements;
        let (begun, sink) = join!(self.client.batch_execute(start), self.client.copy_in(copy));
        begun?;
        let mut sink = pin!(sink?);
        self.send(range, sink.as_mut()).await?;
        Ok(sink.finish().await)
    }

    /// Sends rows, piece by piece. Records that cannot be rows are left out and become dead
    /// letters.
    async fn send(&mut self, range: Range<u64>, mut sink: Pin<&mut CopyInSink<Bytes>>) -> Result<(), Error> {
        let ChunkTransaction { rows, chunk, letters, .. } = self;
        rows.begin();
        let count = (range.end - range.start) as usize;
        for (id, record) in chunk.records().skip(range.start as usize).take(count) {
            if let Err(unfit) = rows.push(id, &record) {
                letters.push((id, unfit.into()));
            } else if let Some(piece) = rows.take_full() {
                sink.feed(piece).await?;
            }
        }
        sink.feed(rows.finish()).await
    }

    /// Copies the rows in several steps, and returns how many were written. The number of rows per
    /// step is doubled after a success and halved after a refusal, until a refused row is alone and
    /// becomes a dead letter.
    async fn copy_apart(&mut self) -> Result<u64, Fault> {
        self.client.batch_execute(&format!("{BEGIN}; SET CONSTRAINTS ALL IMMEDIATE")).await?;
        let chunk = self.chunk;
        let (mut at, mut step, mut copied) = (0, chunk.len().div_ceil(2), 0);
        while at < chunk.len() {
            let end = chunk.len().min(at + step);
            let known = self.letters.len();
            let refusal = match self.copy_between_savepoints(at..end).await? {
                Ok(rows) => {
                    copied += rows;
                    (at, step) = (end, step * 2);
                    continue;
                }
                Err(refusal) => refusal,
            };
            let fault = about_a_row(refusal)?;
            self.letters.truncate(known);
            if end - at > 1 {
                step = (end - at) / 2;
            } else {
                self.letters.push((chunk.first_id() + at, fault.reason()));
                at = end;
            }
        }
        Ok(copied)
    }

    /// Copies a range of rows. If one of them is refused, none is written.
    async fn copy_between_savepoints(&mut self, range: Range<u64>) -> Result<Result<u64, Error>, Error> {
        let copied = self.copy("SAVEPOINT rows", range).await?;
        let end = match &copied {
            Ok(_) => "RELEASE rows",
            Err(error) if error.as_db_error().is_some() => "ROLLBACK TO rows; RELEASE rows",
            Err(_) => return copied.map(Ok),
        };
        self.client.batch_execute(end).await.map(|()| copied)
    }

    /// Accounts for every record of the chunk, moves the position and commits. `copied` is the
    /// number of rows written for the records that have no dead letter yet.
    async fn settle(&mut self, copied: u64) -> Result<End, Fault> {
        let sent = self.chunk.len() - self.letters.len() as u64;
        if copied < sent {
            self.find_vanished(sent - copied).await?;
        }
        if !self.letters.is_empty() {
            self.write_letters().await?;
        }
        Ok(self.commit().await?)
    }

    /// Adds a dead letter for each record that has none and is not in `logs`. There must be exactly
    /// `vanished` of these records; otherwise it is unknown which ones are missing.
    async fn find_vanished(&mut self, vanished: u64) -> Result<(), Fault> {
        let ChunkTransaction { client, chunk, letters, claimed, .. } = self;
        let by = obstacles(client, "logs").await?;
        let what =
            format!("{vanished} of {} rows do not arrive in `logs`", chunk.len() - letters.len() as u64);
        let ids = "SELECT id FROM logs WHERE node = $1 AND id >= $2 AND id < $3";
        let range = (chunk.first_id() as i64, chunk.end_id() as i64);
        let arrived = match client.query(ids, &[&claimed.node, &range.0, &range.1]).await {
            Err(error) if error.as_db_error().is_some() => {
                let why = Fault::from(error).reason();
                let what = format!("{what}, and the missing rows cannot be identified ({why})");
                return Err(Fault::KeptOut { what, by });
            }
            arrived => arrived?,
        };
        let mut accounted: BTreeSet<RecordId> = letters.iter().map(|(id, _)| *id).collect();
        for row in arrived {
            accounted.insert(row.try_get::<_, i64>(0)? as u64);
        }
        let missing = (chunk.first_id()..chunk.end_id()).filter(|id| !accounted.contains(id));
        let missing: Vec<RecordId> = missing.collect();
        if missing.len() as u64 != vanished {
            let what = format!("{what}, and the missing rows cannot be identified by their ids");
            return Err(Fault::KeptOut { what, by });
        }
        let reason = match by.as_str() {
            "" => "the row did not arrive in `logs`".to_owned(),
            by => format!("the row did not arrive in `logs`: blocked by {by}"),
        };
        letters.extend(missing.into_iter().map(|id| (id, reason.clone())));
        Ok(())
    }

    /// Writes the dead letters with their reasons, many per statement: otherwise a client that
    /// sends bad records would slow down all others. A dead letter that exists already, from a time
    /// when the position was further, is left unchanged.
    async fn write_letters(&self) -> Result<(), Fault> {
        let ChunkTransaction { client, statements: Statements { put_aside, is_utf8, .. }, .. } = self;
        let node = &self.claimed.node;
        let reasons: BTreeMap<RecordId, &str> =
            self.letters.iter().map(|(id, reason)| (*id, reason.as_str())).collect();
        let (mut ids, mut whys, mut texts, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
        let mut written = 0;
        for (id, record) in self.chunk.records() {
            let Some(reason) = reasons.get(&id) else { continue };
            let mut text = Vec::new();
            json::write(id, &record.record().unwrap_or(record.body), &mut text);
            let text = String::from_utf8_lossy(&text);
            let text = if *is_utf8 { text.into_owned() } else { in_ascii(&text) };
            bytes += text.len();
            ids.push(id as i64);
            whys.push(*reason);
            texts.push(text);
            if bytes >= POSTGRES_PIECE_BYTES {
                written += client.execute(put_aside, &[node, &ids, &whys, &texts]).await?;
                (ids, whys, texts, bytes) = Default::default();
            }
        }
        // possibly zero rows
        written += client.execute(put_aside, &[node, &ids, &whys, &texts]).await?;
        if written == reasons.len() as u64 {
            return Ok(());
        }
        let by = obstacles(client, "logs_dead_letter").await?;
        if by.is_empty() {
            return Ok(()); // the other dead letters exist already
        }
        let ids: Vec<i64> = reasons.keys().map(|id| *id as i64).collect();
        let there = "SELECT count(*) FROM logs_dead_letter WHERE node = $1 AND id = ANY ($2)";
        let there: i64 = client.query_one(there, &[node, &ids]).await?.try_get(0)?;
        let missing = ids.len() as i64 - there;
        if missing == 0 {
            return Ok(());
        }
        let what = format!("{missing} of {} rows do not arrive in `logs_dead_letter`", ids.len());
        Err(Fault::KeptOut { what, by })
    }

    /// Moves the position and commits.
    async fn commit(&self) -> Result<End, Error> {
        let Claimed { node, epoch, position, .. } = self.claimed;
        let end = self.chunk.end_id();
        let (from, to, checksum) = (*position as i64, end as i64, self.claimed.checksum(end));
        let parameters: [&(dyn ToSql + Sync); 5] = [node, epoch, &from, &to, &checksum];
        let advance = self.client.execute(&self.statements.advance, &parameters);
        let (advanced, committed) = join!(advance, self.client.batch_execute("COMMIT"));
        match advanced {
            Err(error) if error.code() == Some(&SqlState::DIVISION_BY_ZERO) => Ok(End::Moved),
            Err(error) => Err(error),
            Ok(_) => Ok(committed.map_or_else(End::Refused, |()| End::Committed)),
        }
    }
}

/// Returns a JSON text with all non-ASCII characters escaped. Such characters occur only in
/// strings.
fn in_ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        match letter {
            '\0'..='\x7f' => text.push(letter),
            letter => {
                letter
                    .encode_utf16(&mut [0; 2])
                    .iter()
                    .for_each(|unit| text.push_str(&format!("\\u{unit:04x}")));
            }
        }
    }
    text
}
