//! Statements in SQL that users write themselves: what they return, and why they return nothing.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::StoreError;
use crate::limits::{ANSWER_PIECE_BYTES, PAGE_BYTES_MAX};
use crate::record::json;

/// Why a statement has no result.
#[derive(Debug)]
pub enum StatementError {
    /// The statement ran for longer than it may.
    Late(Duration),
    /// The statement is invalid, or does more than read.
    Invalid {
        /// What is wrong with the statement.
        detail: String,
        /// What a person can do about it.
        hint: &'static str,
    },
    /// The statement needs more than one statement may use.
    TooLarge {
        /// What the statement needs too much of.
        detail: String,
        /// What a person can do about it.
        hint: &'static str,
    },
    /// The role of the connection could do more than read.
    Forbidden {
        /// What is forbidden.
        title: &'static str,
        /// Why it is forbidden.
        detail: &'static str,
        /// What a person can do about it.
        hint: &'static str,
    },
    /// Other statements use what this one needs to start.
    NotStarted(&'static str),
    /// The statement was stopped for a reason that will pass.
    Stopped(String),
    /// The database cannot be read.
    Store(StoreError),
}

/// The rows of a statement as JSON, within the limits of a response:
/// `{"columns":[..],"rows":[[..]..],"truncated":false}`.
pub struct StatementRows {
    pieces: Vec<StatementPiece>,
    bytes: usize,
    /// The current piece, which is the last.
    out: Vec<u8>,
    permit: Option<OwnedSemaphorePermit>,
    /// The source of the memory permits, in KiB.
    memory: Arc<Semaphore>,
    /// There was not enough memory for all rows.
    is_out_of_memory: bool,
    rows: usize,
    rows_max: usize,
    is_truncated: bool,
}

/// A piece of the rows, and the permit for its memory.
pub struct StatementPiece {
    /// The JSON text.
    pub bytes: Bytes,
    /// Released when the piece has been sent.
    pub permit: Option<OwnedSemaphorePermit>,
}

impl StatementRows {
    /// Creates an empty result of at most `rows_max` rows, whose memory is taken from `memory`.
    pub fn new(rows_max: usize, memory: &Arc<Semaphore>) -> StatementRows {
        StatementRows {
            pieces: Vec::new(),
            bytes: 0,
            out: Vec::new(),
            permit: None,
            memory: Arc::clone(memory),
            is_out_of_memory: false,
            rows: 0,
            rows_max,
            is_truncated: false,
        }
    }

    /// Starts the result with the names of the columns.
    pub(super) fn begin<'a>(&mut self, columns: impl IntoIterator<Item = &'a str>) {
        self.out.extend_from_slice(b"{\"columns\":[");
        for (index, name) in columns.into_iter().enumerate() {
            separate(&mut self.out, index);
            json::string(&mut self.out, name);
        }
        self.out.extend_from_slice(b"],\"rows\":[");
    }

    /// Adds a row of values. `write` appends a value as JSON, and returns false for a value that
    /// has more bytes than its last argument. Returns false, without adding the row, once the
    /// result is too large.
    pub(super) fn row(
        &mut self,
        columns: usize,
        mut write: impl FnMut(usize, &mut Vec<u8>, usize) -> bool,
    ) -> bool {
        let length = self.out.len();
        self.is_truncated = self.rows >= self.rows_max;
        separate(&mut self.out, self.rows);
        self.out.push(b'[');
        for column in 0..columns {
            let left = PAGE_BYTES_MAX.saturating_sub(self.bytes + self.out.len());
            self.is_truncated |= left == 0;
            if self.is_truncated || self.is_out_of_memory {
                break;
            }
            separate(&mut self.out, column);
            self.is_truncated |= !write(column, &mut self.out, left);
            self.reserve();
        }
        self.out.push(b']');
        self.rows += 1;
        if self.is_truncated {
            self.out.truncate(length);
        }
        if self.out.len() >= ANSWER_PIECE_BYTES {
            self.end_piece();
        }
        !self.is_truncated && !self.is_out_of_memory
    }

    /// Reserves memory for the last piece, as much as it has grown.
    fn reserve(&mut self) {
        let has = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = (self.out.len() >> 10).saturating_sub(has);
        if missing == 0 {
            return;
        }
        match Arc::clone(&self.memory).try_acquire_many_owned(missing as u32) {
            Ok(more) => match &mut self.permit {
                Some(permit) => permit.merge(more),
                None => self.permit = Some(more),
            },
            Err(_) => self.is_out_of_memory = true,
        }
    }

    fn end_piece(&mut self) {
        let mut bytes = std::mem::take(&mut self.out);
        bytes.shrink_to_fit(); // the piece stays in memory until the client reads it
        self.bytes += bytes.len();
        self.pieces.push(StatementPiece { bytes: bytes.into(), permit: self.permit.take() });
    }

    /// Returns the complete result.
    pub fn finish(mut self) -> Result<Vec<StatementPiece>, StatementError> {
        if self.is_out_of_memory {
            return Err(StatementError::Stopped(
                "there is not enough memory for the result: clients are still reading the results of other statements".into(),
            ));
        }
        // Writing to a Vec cannot fail.
        let _ = write!(self.out, "],\"truncated\":{}}}", self.is_truncated);
        self.end_piece();
        Ok(self.pieces)
    }
}

fn separate(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}

/// Returns the maximum number of bytes of a text as JSON.
fn json_bytes_max(text: &[u8]) -> usize {
    // A control character has six bytes, an invalid byte becomes a character of three, a quote or a
    // backslash has two.
    let more = |byte: &u8| match byte {
        0..0x20 | 0x7f => 5,
        0x80.. => 2,
        b'"' | b'\\' => 1,
        _ => 0,
    };
    text.len() + 2 + text.iter().map(more).sum::<usize>()
}

/// Appends a text as JSON. Returns false, without appending, if it has more bytes than `bytes_max`.
pub(super) fn write_text(out: &mut Vec<u8>, text: &[u8], bytes_max: usize) -> bool {
    // Most texts are short, and need no inspection of each byte.
    let fits = 6 * text.len() + 2 <= bytes_max || json_bytes_max(text) <= bytes_max;
    if fits {
        json::string(out, &String::from_utf8_lossy(text));
    }
    fits
}
