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

use super::connect::{Fault, Session, obstacles};
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
    /// Whether the database can store any text.
    is_utf8: bool,
    copy: Statement,
    advance: Statement,
    sync: Statement,
    put_aside: Statement,
}

/// How a transaction ended.
enum End {
    Committed,
    /// The COPY was refused, or a constraint that is checked last.
    Refused(Error),
    /// The position was not the expected one.
    Moved,
    /// Rows did not arrive, and it is unknown which ones.
    Vanished(Fault),
}

/// Node, epoch, old position, new position, and the checksum for the new position.
type Move<'a> = (&'a str, i64, i64, i64, i64);

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
        let is_utf8 = encoding.try_get(0)?;
        Ok(NodeWriter { session, days, claimed, is_utf8, copy, advance, sync, put_aside })
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
                    client.execute(&self.sync, &place),
                    client.batch_execute("COMMIT")
                );
                begun?;
                let updated = updated?;
                committed?;
                Ok(updated)
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
                return Ok(Fault::Moved(*position));
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
        let mut letters = DeadLetters::new();
        let NodeWriter {
            session: Session { client, driver },
            claimed,
            copy,
            advance,
            put_aside,
            is_utf8,
            ..
        } = self;
        let moving = claimed.moving(chunk.end_id());
        let transaction = async {
            let (begun, sink) = join!(client.batch_execute(BEGIN), client.copy_in(copy));
            begun?;
            let mut sink = pin!(sink?);
            send(rows, chunk, 0..chunk.len(), &mut letters, sink.as_mut()).await?;
            let copied = match sink.finish().await {
                Ok(copied) => copied,
                Err(error) => return Ok(End::Refused(error)),
            };
            settle(client, (put_aside, advance), moving, chunk, copied, &mut letters, *is_utf8).await
        };
        match driver.drive(transaction).await? {
            End::Committed => return Ok(Some(letters)),
            End::Moved => return Err(self.explain_unmoved().await?),
            End::Vanished(fault) => return Err(fault),
            End::Refused(error) => about_a_row(error)?,
        };
        driver.drive(client.batch_execute("ROLLBACK")).await?; // no effect if COMMIT has rolled back
        Ok(None)
    }

    /// Writes a chunk that has rows which the database refuses. The number of rows per step is
    /// doubled after a success and halved after a refusal, until a refused row is alone and becomes
    /// a dead letter. All of this is still one transaction.
    async fn write_apart(&mut self, rows: &mut CopyRows, chunk: &Chunk) -> Result<DeadLetters, Fault> {
        let mut letters = DeadLetters::new();
        let NodeWriter {
            session: Session { client, driver },
            claimed,
            copy,
            advance,
            put_aside,
            is_utf8,
            ..
        } = self;
        let moving = claimed.moving(chunk.end_id());
        let begin = format!("{BEGIN}; SET CONSTRAINTS ALL IMMEDIATE");
        driver.drive(client.batch_execute(&begin)).await?;
        let (mut at, mut step, mut copied) = (0, chunk.len().div_ceil(2), 0);
        while at < chunk.len() {
            let end = chunk.len().min(at + step);
            let known = letters.len();
            let piece = driver
                .drive(copy_between_savepoints(client, copy, rows, chunk, at..end, &mut letters))
                .await?;
            let refusal = match piece {
                Ok(rows) => {
                    copied += rows;
                    (at, step) = (end, step * 2);
                    continue;
                }
                Err(refusal) => refusal,
            };
            let fault = about_a_row(refusal)?;
            letters.truncate(known);
            if end - at > 1 {
                step = (end - at) / 2;
            } else {
                letters.push((chunk.first_id() + at, fault.reason()));
                at = end;
            }
        }
        let statements = (&*put_aside, &*advance);
        let end = settle(client, statements, moving, chunk, copied, &mut letters, *is_utf8);
        match driver.drive(end).await? {
            End::Committed => Ok(letters),
            End::Moved => Err(self.explain_unmoved().await?),
            End::Vanished(fault) => Err(fault),
            End::Refused(error) => Err(error.into()),
        }
    }
}

impl Claimed {
    fn moving(&self, to: RecordId) -> Move<'_> {
        (&self.node, self.epoch, self.position as i64, to as i64, self.checksum(to))
    }
}

/// Returns the fault if it is about a row, and fails with it otherwise.
fn about_a_row(error: Error) -> Result<Fault, Fault> {
    let fault = Fault::from(error);
    if fault.is_about_a_row() { Ok(fault) } else { Err(fault) }
}

/// Accounts for every record of the chunk, moves the position and commits. `copied` is the number
/// of rows written for the records that have no dead letter yet.
async fn settle(
    client: &Client,
    (put_aside, advance): (&Statement, &Statement),
    moving: Move<'_>,
    chunk: &Chunk,
    copied: u64,
    letters: &mut DeadLetters,
    is_utf8: bool,
) -> Result<End, Error> {
    let (node, ..) = moving;
    let sent = chunk.len() - letters.len() as u64;
    if copied < sent
        && let Err(fault) = find_vanished(client, node, chunk, sent - copied, letters).await?
    {
        return Ok(End::Vanished(fault));
    }
    if !letters.is_empty()
        && let Err(fault) = write_letters(client, put_aside, node, chunk, letters, is_utf8).await?
    {
        return Ok(End::Vanished(fault));
    }
    commit(client, advance, moving).await
}

/// Adds a dead letter for each record that has none and is not in `logs`. There must be exactly
/// `vanished` of these records; otherwise it is unknown which ones are missing.
async fn find_vanished(
    client: &Client,
    node: &str,
    chunk: &Chunk,
    vanished: u64,
    letters: &mut DeadLetters,
) -> Result<Result<(), Fault>, Error> {
    let by = obstacles(client, "logs").await?;
    let what = format!("{vanished} of {} rows do not arrive in `logs`", chunk.len() - letters.len() as u64);
    let ids = "SELECT id FROM logs WHERE node = $1 AND id >= $2 AND id < $3";
    let range = (chunk.first_id() as i64, chunk.end_id() as i64);
    let arrived = match client.query(ids, &[&node, &range.0, &range.1]).await {
        Ok(arrived) => arrived,
        Err(error) if error.as_db_error().is_some() => {
            let why = Fault::from(error).reason();
            let what = format!("{what}, and the missing rows cannot be identified ({why})");
            return Ok(Err(Fault::KeptOut { what, by }));
        }
        Err(error) => return Err(error),
    };
    let mut accounted: BTreeSet<RecordId> = letters.iter().map(|(id, _)| *id).collect();
    for row in arrived {
        accounted.insert(row.try_get::<_, i64>(0)? as u64);
    }
    let missing = (chunk.first_id()..chunk.end_id()).filter(|id| !accounted.contains(id));
    let missing: Vec<RecordId> = missing.collect();
    if missing.len() as u64 != vanished {
        let what = format!("{what}, and the missing rows cannot be identified by their ids");
        return Ok(Err(Fault::KeptOut { what, by }));
    }
    let reason = match by.as_str() {
        "" => "the row did not arrive in `logs`".to_owned(),
        by => format!("the row did not arrive in `logs`: blocked by {by}"),
    };
    letters.extend(missing.into_iter().map(|id| (id, reason.clone())));
    Ok(Ok(()))
}

/// Moves the position and commits.
async fn commit(
    client: &Client,
    advance: &Statement,
    (node, epoch, from, to, checksum): Move<'_>,
) -> Result<End, Error> {
    let parameters: [&(dyn ToSql + Sync); 5] = [&node, &epoch, &from, &to, &checksum];
    let (advanced, committed) = join!(client.execute(advance, &parameters), client.batch_execute("COMMIT"));
    match advanced {
        Err(error) if error.code() == Some(&SqlState::DIVISION_BY_ZERO) => Ok(End::Moved),
        Err(error) => Err(error),
        Ok(_) => Ok(committed.map_or_else(End::Refused, |()| End::Committed)),
    }
}

/// Copies a range of rows, and returns how many were written. If one of them is refused, none is
/// written.
async fn copy_between_savepoints(
    client: &Client,
    copy: &Statement,
    rows: &mut CopyRows,
    chunk: &Chunk,
    range: Range<u64>,
    letters: &mut DeadLetters,
) -> Result<Result<u64, Error>, Error> {
    let (begun, sink) = join!(client.batch_execute("SAVEPOINT rows"), client.copy_in(copy));
    begun?;
    let mut sink = pin!(sink?);
    send(rows, chunk, range, letters, sink.as_mut()).await?;
    match sink.finish().await {
        Ok(copied) => client.batch_execute("RELEASE rows").await.map(|()| Ok(copied)),
        Err(error) if error.as_db_error().is_some() => {
            client.batch_execute("ROLLBACK TO rows; RELEASE rows").await.map(|()| Err(error))
        }
        Err(error) => Err(error),
    }
}

/// Sends rows, piece by piece. Records that cannot be rows are left out and added to `letters`.
async fn send(
    rows: &mut CopyRows,
    chunk: &Chunk,
    range: Range<u64>,
    letters: &mut DeadLetters,
    mut sink: Pin<&mut CopyInSink<Bytes>>,
) -> Result<(), Error> {
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

/// Writes these dead letters with their reasons, many per statement: otherwise a client that sends
/// bad records would slow down all others. A dead letter that exists already, from a time when the
/// position was further, is left unchanged.
async fn write_letters(
    client: &Client,
    put_aside: &Statement,
    node: &str,
    chunk: &Chunk,
    letters: &DeadLetters,
    is_utf8: bool,
) -> Result<Result<(), Fault>, Error> {
    let reasons: BTreeMap<RecordId, &str> =
        letters.iter().map(|(id, reason)| (*id, reason.as_str())).collect();
    let (mut ids, mut whys, mut texts, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut written = 0;
    for (id, record) in chunk.records() {
        let Some(reason) = reasons.get(&id) else { continue };
        let mut text = Vec::new();
        json::write(id, &record.record().unwrap_or(record.body), &mut text);
        let text = String::from_utf8_lossy(&text);
        let text = if is_utf8 { text.into_owned() } else { in_ascii(&text) };
        bytes += text.len();
        ids.push(id as i64);
        whys.push(*reason);
        texts.push(text);
        if bytes >= POSTGRES_PIECE_BYTES {
            written += client.execute(put_aside, &[&node, &ids, &whys, &texts]).await?;
            (ids, whys, texts, bytes) = Default::default();
        }
    }
    // possibly zero rows
    written += client.execute(put_aside, &[&node, &ids, &whys, &texts]).await?;
    if written == reasons.len() as u64 {
        return Ok(Ok(()));
    }
    let by = obstacles(client, "logs_dead_letter").await?;
    if by.is_empty() {
        return Ok(Ok(())); // the other dead letters exist already
    }
    let ids: Vec<i64> = reasons.keys().map(|id| *id as i64).collect();
    let there = "SELECT count(*) FROM logs_dead_letter WHERE node = $1 AND id = ANY ($2)";
    let there: i64 = client.query_one(there, &[&node, &ids]).await?.try_get(0)?;
    let what =
        format!("{} of {} rows do not arrive in `logs_dead_letter`", ids.len() as i64 - there, ids.len());
    Ok(if there == ids.len() as i64 { Ok(()) } else { Err(Fault::KeptOut { what, by }) })
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
