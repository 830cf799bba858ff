//! Every bound of the program, with its unit in the name and its reason.
//!
//! Those that an operator may want to change are the defaults of options in [`crate::config`]; the rest
//! are fixed because something else leans on them.

/// One encoded record. What a client sends beyond it is cut, with a mark: 1 MiB holds any stack trace.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// One encoded batch, the unit that is appended to the spool whole or not at all.
/// Two largest records fit, so that a batch can always take one more before it is full.
pub const BATCH_BYTES_MAX: usize = 2 * (RECORD_BYTES_MAX + RECORD_OVERHEAD_BYTES_MAX);

/// What the encoding adds to the texts of one record: lengths, flags and numbers.
pub const RECORD_OVERHEAD_BYTES_MAX: usize = 256;

/// A batch is handed to the spool once it holds this much: large enough that the lock costs nothing a
/// record, small enough that four of them make one commit.
pub const BATCH_BYTES_TARGET: usize = 512 << 10;

/// The attributes of one record as JSON text.
pub const ATTRIBUTES_BYTES_MAX: usize = RECORD_BYTES_MAX / 2;

/// Attributes of one record; further ones are counted in `logboom.dropped_attributes`.
/// (OpenTelemetry's SDKs stop at 128.)
pub const ATTRIBUTES_MAX: usize = 1024;

const _: () = assert!(ATTRIBUTES_BYTES_MAX < RECORD_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_TARGET <= BATCH_BYTES_MAX);

/// What one commit of the spool may hold, its frame header included. Two such buffers exist (one fills while the
/// other is written), and one more per reader.
pub const COMMIT_BYTES_MAX: usize = 4 << 20;

/// The smallest segment: a commit must fit beside the header.
pub const SEGMENT_BYTES_MIN: u64 = 2 * COMMIT_BYTES_MAX as u64;

/// Emptied segment files that are kept to be written again, which spares the file system work at each commit.
pub const FREE_SEGMENTS_MAX: usize = 4;

/// Damaged stretches set aside; what is damaged beyond it is only counted.
pub const QUARANTINE_BYTES_MAX: u64 = 256 << 20;

/// After the spool has refused records for want of space, how long until it looks again by itself.
pub const FULL_RETRY_MILLISECONDS: u64 = 500;

const _: () = assert!(BATCH_BYTES_MAX < COMMIT_BYTES_MAX);

/// A store that failed is tried again after this, then after twice as long, and so on.
pub const STORE_RETRY_MILLISECONDS_MIN: u64 = 50;

/// And at least this often: a store that comes back is seen within a second.
pub const STORE_RETRY_MILLISECONDS_MAX: u64 = 1000;

/// What a store has taken is made durable there at least this often, so that the spool can be released.
pub const STORE_SYNC_MILLISECONDS: u64 = 1000;

/// And after so many records, so that a busy spool stays small.
pub const STORE_SYNC_ROWS: u64 = 200_000;

/// Pause between two looks at whether retention or rotation has something to do.
pub const STORE_MAINTAIN_SECONDS: u64 = 5;

/// Width and precision of one value in a line of a log file: what is wider is a slip of the keyboard.
pub const LINE_FORMAT_WIDTH_MAX: usize = 1000;

/// Lines are handed to the log file in pieces of about this size: large enough that the call costs nothing a line, small
/// enough to stay in the processor's cache.
pub const LOG_FILE_WRITE_BYTES: usize = 128 << 10;

/// So many bytes before the recorded end of a log file are checked before anything behind them is cut off.
pub const LOG_FILE_TAIL_BYTES: usize = 4 << 10;
