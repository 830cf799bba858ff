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

/// Opcodes of one pickle. Every opcode pushes at most one value, makes at most three nodes and links at most two,
/// so this one number bounds the memory (about 10 MiB) and the time that any frame can take.
pub const PICKLE_OPCODES_MAX: usize = 1 << 18;

/// Digits of a whole number written as text; CPython draws the same line. Longer ones are told by their length.
pub const PICKLE_INTEGER_DIGITS_MAX: usize = 4300;

/// Bytes of a whole number in binary: turning it into digits takes quadratic time.
pub const PICKLE_INTEGER_BYTES_MAX: usize = 1 << 10;

/// Bytes of a float written as text: `repr` needs 24.
pub const PICKLE_FLOAT_BYTES_MAX: usize = 64;

/// Values inside values that are written out; below that stands a mark.
pub const PICKLE_DEPTH_MAX: usize = 64;

/// Values of one record that are written out: memo references can make a few bytes stand for 2^100 of them.
pub const PICKLE_VALUES_MAX: usize = 20_000;

/// Bytes of one record's values that are written out.
pub const PICKLE_VALUES_BYTES_MAX: usize = ATTRIBUTES_BYTES_MAX / 2;

/// Memo numbers are kept in a vector up to this far beyond twice their count, in a map beyond.
pub const PICKLE_MEMO_GAP: usize = 16;

/// Bytes of a key or a class name that are looked at.
pub const PICKLE_NAME_BYTES_MAX: usize = 128;

/// Members that a record has on the fast path. It keeps no order among them, so that equal keys cost a little each.
pub const PICKLE_MEMBERS_PLAIN_MAX: usize = 64;

/// Memo entries that the fast path for plain records remembers.
pub const PICKLE_MEMO_PLAIN_MAX: usize = 64;

/// What a decoder keeps of each of its buffers between frames, in elements; an ordinary record needs a hundred.
pub const PICKLE_SCRATCH_MAX: usize = 1 << 14;

/// Directives of one `%` template.
pub const PERCENT_DIRECTIVES_MAX: usize = 1024;

/// Arguments of one `%` template.
pub const PERCENT_ARGUMENTS_MAX: usize = 256;

/// Width and precision in a `%` template, in characters.
pub const PERCENT_WIDTH_MAX: usize = 1000;
