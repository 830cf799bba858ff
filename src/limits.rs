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

/// One JSON value of a request body, as it was sent. What is larger is refused without being held in memory.
pub const JSON_RECORD_BYTES_MAX: usize = 1 << 20;

/// Members of one JSON object that are looked at; further ones are counted in `logboom.dropped_attributes`. It keeps the
/// memory for them small; all of [`ATTRIBUTES_MAX`] and every name of a field fit.
pub const JSON_MEMBERS_MAX: usize = 2 * ATTRIBUTES_MAX;

/// How deep the objects and arrays in an attribute's value may nest; what nests deeper is stored as text.
/// SQLite stops at 1000 levels, PostgreSQL at its stack, many parsers at 128.
pub const JSON_DEPTH_MAX: usize = 64;

const _: () = assert!(ATTRIBUTES_BYTES_MAX < RECORD_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_TARGET <= BATCH_BYTES_MAX);
