//! Every bound of the program, with its unit in the name and its reason.
//!
//! Bounds that an operator may want to change are the defaults of options in [`crate::config`]. The
//! rest are fixed because other parts of the program depend on them.

// record

/// One encoded record. A longer input is cut and marked as cut: 1 MiB holds any stack trace.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// The last id that a segment or a frame may begin with, because databases have signed integers. At
/// a million records per second this id is reached in 292,000 years.
pub const RECORD_ID_MAX: u64 = i64::MAX as u64;

/// What the encoding adds to the texts of one record: lengths, flags and numbers.
pub const RECORD_OVERHEAD_BYTES_MAX: usize = 256;

/// One encoded batch, the unit that is appended to the spool whole or not at all. Two largest
/// records fit, so that a batch that is not full can always accept one more record.
pub const BATCH_BYTES_MAX: usize = 2 * (RECORD_BYTES_MAX + RECORD_OVERHEAD_BYTES_MAX);

/// A batch is appended to the spool once it holds this much: large enough that the cost of the lock
/// per record is negligible, small enough that four batches make one commit.
pub const BATCH_BYTES_TARGET: usize = 512 << 10;

/// The attributes of one record as JSON text: half of a record, so that the message has room too.
pub const ATTRIBUTES_BYTES_MAX: usize = RECORD_BYTES_MAX / 2;

/// Attributes of one record. Further attributes are counted in `logboom.dropped_attributes`. (The
/// SDKs of OpenTelemetry stop at 128.)
pub const ATTRIBUTES_MAX: usize = 1024;

// memory

/// Arenas of the C library's allocator, which all threads share. Each arena keeps the memory that
/// was freed in it, so more arenas would keep more unused memory.
pub const ALLOCATOR_ARENAS_MAX: i32 = 2;

/// A block of at least this size has a memory mapping of its own, so that its memory returns to the
/// system when the block is freed.
pub const ALLOCATOR_MAPPED_BYTES_MIN: i32 = 256 << 10;

/// Resident memory from which on freed memory is returned to the system, at most once in
/// [`MEMORY_LOOK_MILLISECONDS`]: the documented limit is 64 MiB.
pub const MEMORY_TRIM_BYTES_MIN: u64 = 44 << 20;

/// How often resident memory is compared with [`MEMORY_TRIM_BYTES_MIN`]. Returning freed memory
/// takes some milliseconds, so it must not happen more often.
pub const MEMORY_LOOK_MILLISECONDS: u64 = 250;

// log

/// Lines of the program's own log that wait for standard error: the content of four full pipes,
/// enough for a burst. Further lines are dropped and counted.
pub const LOG_BUFFER_BYTES_MAX: usize = 256 << 10;

/// The largest single write to standard error: `PIPE_BUF` of Linux. A pipe that poll reports as
/// writable accepts this much without blocking.
pub const LOG_WRITE_BYTES_MAX: usize = 4096;

/// One line of the program's own log. Error texts of databases have no limit of their own.
pub const LOG_LINE_BYTES_MAX: usize = 32 << 10;

/// How long the program waits before it writes to a blocked standard error again.
pub const LOG_RETRY_MILLISECONDS: u64 = 250;

/// How long the program waits for a blocked standard error before it exits.
pub const LOG_END_MILLISECONDS_MAX: u64 = 500;

/// Lines of one kind that clients can cause (see [`crate::log::LimitedMessage`]) in one interval:
/// enough to see what is wrong. Without a limit, connections of another protocol can cause 1.1 MB
/// of log per second.
pub const LOG_LINES_PER_INTERVAL_MAX: u32 = 10;

/// The interval of [`LOG_LINES_PER_INTERVAL_MAX`]. At its end one line reports how many lines were
/// suppressed.
pub const LOG_INTERVAL_SECONDS: u64 = 60;

// ingest

/// The beginning of a rejected input that its dead letter keeps, so that an input of any size takes
/// little space in a database.
pub const DEAD_LETTER_BYTES_MAX: usize = 4096;

/// Dead letters of one connection per interval. A frame of 4 bytes becomes some 500 bytes of
/// database, and a client can send a million frames per second. Further inputs are only counted.
pub const DEAD_LETTERS_PER_CONNECTION_MAX: u32 = 60;

/// Dead letters of one source per interval, over all connections: at most 1 GB of database per day.
pub const DEAD_LETTERS_PER_SOURCE_MAX: u32 = 300;

/// Bytes of input in the dead letters of one source per interval: 1.7 KiB for each, more than an
/// ordinary record has.
pub const DEAD_LETTERS_BYTES_PER_SOURCE_MAX: usize = 512 << 10;

/// The interval of [`DEAD_LETTERS_PER_CONNECTION_MAX`], [`DEAD_LETTERS_PER_SOURCE_MAX`] and
/// [`DEAD_LETTERS_BYTES_PER_SOURCE_MAX`].
pub const DEAD_LETTERS_INTERVAL_SECONDS: u64 = 60;

/// The labels of a listener. They are bounded because each record of the listener repeats them.
pub const LABELS_BYTES_MAX: usize = 512;

/// How long sources may continue to hand over what clients have already sent once the program
/// stops.
pub const DRAIN_SECONDS_MAX: u64 = 3;

/// The length of the sleeps in which [`DRAIN_SECONDS_MAX`] is counted, so that time during which
/// the machine is suspended does not use it up.
pub const DRAIN_PIECE_MILLISECONDS: u64 = 50;

/// Pause after a connection could not be accepted because no file descriptor was free.
pub const ACCEPT_RETRY_MILLISECONDS: u64 = 100;

/// Connections that may wait to be accepted: a burst of 200 clients that start at the same time
/// fits easily.
pub const LISTEN_BACKLOG: i32 = 4096;

/// A TCP keepalive probe is sent to a peer that has been silent for this long.
pub const KEEPALIVE_SECONDS: u64 = 60;

// ingest: Python

/// Bytes read from a socket at once. Each thread has one such buffer, so that connections need none
/// of their own.
pub const READ_BUFFER_BYTES: usize = 256 << 10;

/// The beginnings of unfinished frames, of all connections together. The bound keeps clients that
/// do not finish their frames from exhausting the memory.
pub const PARTIAL_FRAMES_BYTES_MAX: usize = 16 << 20;

/// This much of each unfinished frame is kept even beyond [`PARTIAL_FRAMES_BYTES_MAX`]. The
/// beginning of an ordinary record fits, so that clients that send only ordinary records are not
/// affected by clients that hold the memory.
pub const PARTIAL_FRAME_BYTES_FREE: usize = 1 << 10;

/// Once half of [`PARTIAL_FRAMES_BYTES_MAX`] is in use, a connection whose frame takes longer than
/// this is closed, whatever `frame_seconds_max` is. Python's `SocketHandler` gives up after the
/// same time without progress.
pub const STALLED_FRAME_DURATION: std::time::Duration = std::time::Duration::from_secs(1);

/// The largest datagram that can arrive.
pub const DATAGRAM_BYTES_MAX: usize = 64 << 10;

/// Datagrams that are received before their batch is appended, so that a stream of datagrams
/// without a pause does not delay the first ones.
pub const DATAGRAMS_PER_BATCH_MAX: usize = 256;

/// The receive buffer that is requested for UDP sockets (Linux grants up to `net.core.rmem_max`):
/// nothing slows a UDP sender down, so a burst must fit.
pub const DATAGRAM_SOCKET_BYTES: usize = 4 << 20;

/// How often the program checks for datagrams that the system has dropped.
pub const DROPPED_DATAGRAMS_SECONDS: u64 = 5;

/// `frame_bytes_max` must be lower than this. The first byte of a frame's length is then 0, with
/// which no other protocol begins.
pub const FRAME_BYTES_LIMIT: usize = 16 << 20;

/// Opcodes of one pickle. Every opcode pushes at most one value, creates at most three nodes and
/// links at most two, so this number bounds the memory (about 10 MiB) and the time that any frame
/// can take.
pub const PICKLE_OPCODES_MAX: usize = 1 << 18;

/// Digits of an integer that is written as text. CPython has the same limit. A longer integer is
/// represented by its number of digits.
pub const PICKLE_INTEGER_DIGITS_MAX: usize = 4300;

/// Bytes of a binary integer: its conversion to decimal digits takes quadratic time.
pub const PICKLE_INTEGER_BYTES_MAX: usize = 1 << 10;

/// Bytes of a float that is written as text: `repr` needs 24.
pub const PICKLE_FLOAT_BYTES_MAX: usize = 64;

/// Nesting depth of values that are written out: pickled values may nest 200,000 deep, or contain
/// themselves. A mark replaces deeper values.
pub const PICKLE_DEPTH_MAX: usize = 64;

/// Values of one record that are written out: with memo references, a few bytes can stand for 2^100
/// values.
pub const PICKLE_VALUES_MAX: usize = 20_000;

/// Bytes of one record's values that are written out.
pub const PICKLE_VALUES_BYTES_MAX: usize = ATTRIBUTES_BYTES_MAX / 2;

/// Memo numbers up to this far beyond twice their count are kept in a vector, and higher ones in a
/// map, so that a high number costs no more than its own entry.
pub const PICKLE_MEMO_GAP: usize = 16;

/// Bytes of a key or a class name that are examined.
pub const PICKLE_NAME_BYTES_MAX: usize = 128;

/// Members of a record on the fast path: it compares each key with all keys before it, which takes
/// quadratic time.
pub const PICKLE_MEMBERS_PLAIN_MAX: usize = 64;

/// Memo entries that the fast path for plain records keeps.
pub const PICKLE_MEMO_PLAIN_MAX: usize = 64;

/// Elements of each of its buffers that a decoder keeps allocated between records. An ordinary
/// record needs about a hundred.
pub const DECODER_SCRATCH_MAX: usize = 1 << 14;

/// Directives of one `%` template. With [`PERCENT_WIDTH_MAX`] this bounds the padding that a short
/// template can produce.
pub const PERCENT_DIRECTIVES_MAX: usize = 1024;

/// Arguments of one `%` template.
pub const PERCENT_ARGUMENTS_MAX: usize = 256;

/// Width and precision in a `%` template, in characters.
pub const PERCENT_WIDTH_MAX: usize = 1000;

// ingest: shapes

/// Shapes that a decoder keeps. An input may be compared with each of them.
pub const SHAPES_MAX: usize = 8;

/// Text of one shape. With [`SHAPES_MAX`] this bounds the memory of a decoder.
pub const SHAPE_BYTES_MAX: usize = 4 << 10;

// ingest: HTTP

/// Memory for all bodies of HTTP requests that are being read, in KiB.
pub const BODY_MEMORY_KIB_MAX: u32 = 24 << 10;

/// The part of [`BODY_MEMORY_KIB_MAX`] that one body of unknown or large length takes: a batch, an
/// incomplete value and a piece.
pub const BODY_KIB_MAX: u32 = 2 << 10;

/// The part of [`BODY_MEMORY_KIB_MAX`] that one body takes in addition to its length: a batch.
pub const BODY_BATCH_KIB_MAX: u32 = (BATCH_BYTES_TARGET >> 10) as u32 + 128;

/// A body up to this length takes only its length, from a reserve that large bodies do not use.
pub const BODY_SMALL_BYTES_MAX: u64 = 64 << 10;

/// The reserve for small bodies, in KiB: it holds 128 bodies of [`BODY_SMALL_BYTES_MAX`].
pub const BODY_SMALL_MEMORY_KIB_MAX: u32 = 8 << 10;

/// How long a body whose first bytes have arrived waits for memory. After that the server asks the
/// client to retry later.
pub const BODY_WAIT_SECONDS_MAX: u64 = 5;

/// The longest pause between two pieces of a body: a body holds memory while it is being read.
pub const BODY_PAUSE_SECONDS_MAX: u64 = 10;

/// Bytes of a body that are inflated and decoded before the size of the batch is checked and other
/// tasks can run. Even with the smallest records, such a piece neither overfills the batch nor
/// takes long.
pub const BODY_PIECE_BYTES: usize = 8 << 10;

/// Batches that a thread keeps allocated for later requests, which saves their allocation.
pub const BODY_BATCHES_KEPT_MAX: usize = 16;

/// The largest batch that a thread keeps for later requests. A larger one is freed, so that kept
/// batches take little memory.
pub const BODY_BATCH_KEPT_BYTES_MAX: usize = 16 << 10;

/// Errors that a response lists, so that a body of invalid records does not make a large response.
/// Further errors are only counted.
pub const BODY_ERRORS_MAX: usize = 100;

/// The largest window of a zstd body, 8 MiB: compression level 19 needs it.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// One JSON value of a request body, as it was sent. A larger value is rejected without being held
/// in memory.
pub const JSON_RECORD_BYTES_MAX: usize = 1 << 20;

/// Members of one JSON object that are examined. Further members are counted in
/// `logboom.dropped_attributes`. The bound keeps the memory for members small; all of
/// [`ATTRIBUTES_MAX`] and every name of a field fit.
pub const JSON_MEMBERS_MAX: usize = 2 * ATTRIBUTES_MAX;

/// How deep the objects and arrays in an attribute's value may nest. A deeper value is stored as
/// text. SQLite stops at 1000 levels, PostgreSQL at the size of its stack, many parsers at 128.
pub const JSON_DEPTH_MAX: usize = 64;

/// Shorter responses are not compressed: they fit into one packet.
pub const GZIP_BYTES_MIN: usize = 1 << 10;

/// Bytes of a streamed response that are compressed at once, which takes some milliseconds of a
/// network thread: every usual piece, and parts of those with very large records.
pub const GZIP_PIECE_BYTES_MAX: usize = 256 << 10;

/// The most bytes of one block of deflate, and room for what follows it: the encoder writes a block
/// to its destination only if there is this much room.
pub const GZIP_BLOCK_BYTES_MAX: usize = 128 << 10;

/// Bytes of a body that HTTP/1 reads at once.
pub const HTTP_BUFFER_BYTES_MAX: usize = 128 << 10;

/// The longest request head: a query of 4 KiB, percent-encoded, and the cookies of all other
/// services on `localhost` fit.
pub const HTTP_HEAD_BYTES_MAX: usize = 32 << 10;

/// A connection whose buffer has grown beyond this releases it between two requests, so that idle
/// connections hold little memory.
pub const HTTP_BUFFER_BYTES_KEPT_MAX: usize = 32 << 10;

/// Idle HTTP connections that keep their buffers, some 20 KiB each: more than the services of a
/// team need.
pub const HTTP_TURNS_ENDLESS_MAX: usize = 384;

/// Of the other HTTP connections, this many can have buffers at a time: from the complete head of a
/// request to the last byte of its response.
pub const HTTP_TURNS_SHORT_MAX: usize = 256;

/// Requests that can wait for queries, for stores or for a deletion at a time. Half of the slots
/// stay free for records and health checks.
pub const HTTP_LONG_REQUESTS_MAX: usize = HTTP_TURNS_SHORT_MAX / 2;

/// Unfinished request heads of all connections that wait for a slot, together: 4,000 ordinary
/// heads.
pub const HTTP_HEADS_BYTES_MAX: usize = 4 << 20;

/// This much of each unfinished head is kept even beyond [`HTTP_HEADS_BYTES_MAX`], so that ordinary
/// clients are not affected by other clients.
pub const HTTP_HEAD_BYTES_FREE: usize = 1 << 10;

/// Bytes of a request that are peeked at in the socket to find the end of its head: nearly all
/// heads end within them.
pub const HTTP_PEEK_BYTES: usize = 4 << 10;

/// How long a request head may take to arrive once the connection has sent something, and how long
/// an idle connection stays open.
pub const HTTP_HEAD_SECONDS_MAX: u64 = 60;

/// The connection of a client that has read nothing for this long, although there was something to
/// send, is closed. Responses with limits of their own (tails, records) reach those limits first,
/// and log it.
pub const HTTP_WRITE_STALL_SECONDS_MAX: u64 = 45;

/// How long a client may keep the server waiting while other clients wait for what this client
/// holds. A packet that is lost twice still arrives within this time.
pub const CLIENT_PATIENCE_MILLISECONDS: u64 = 1000;

/// The pace at which each transferred byte restores [`CLIENT_PATIENCE_MILLISECONDS`]: slower than
/// any network in use.
pub const CLIENT_BYTES_PER_SECOND_MIN: u64 = 8 << 10;

/// A wait for a client is counted in pieces of at most this length. While the machine is suspended
/// few pieces pass, so little of that time counts.
pub const STALL_PIECE_MILLISECONDS: u64 = 250;

// spool

/// What one commit of the spool may hold, its frame header included. Two such buffers exist (one
/// fills while the other is written), and one more per reader. A commit of this size and a
/// segment's header fit into the smallest segment.
pub const COMMIT_BYTES_MAX: usize = SPOOL_SEGMENT_BYTES_MIN as usize - 4096;

/// The smallest segment of the spool: the largest batch and the header of its frame must fit.
pub const SPOOL_SEGMENT_BYTES_MIN: u64 = 4 << 20;

/// Segments that the spool must have room for: one that is being written, one that is prepared, and
/// one that is being shipped.
pub const SPOOL_SEGMENTS_MIN: u64 = 3;

/// Emptied segment files that are kept to be reused, which saves the file system work at each
/// commit.
pub const FREE_SEGMENTS_MAX: usize = 4;

/// Bytes of damaged ranges that are kept in quarantine. Damage beyond this is only counted.
pub const QUARANTINE_BYTES_MAX: u64 = 256 << 20;

/// Damaged ranges that are remembered, so that each is put into quarantine and counted once,
/// however many stores read past it.
pub const DAMAGES_MAX: usize = 4096;

/// How often a range of the spool that the disk cannot read is tried before its records count as
/// damaged. The pauses between the tries are the same as between the retries of a store, from
/// [`STORE_RETRY_MILLISECONDS_MIN`] on: four seconds in all.
pub const SPOOL_READ_TRIES_MAX: u32 = 9;

/// How often one page is read in immediate succession where the program cannot wait, as at the
/// start.
pub const PAGE_READ_TRIES_MAX: u32 = 3;

/// How often the program checks, while nothing is written to the spool's files, whether the files
/// are still where they were.
pub const SPOOL_LOOK_MILLISECONDS: u64 = 500;

/// If a commit takes longer than this while the next buffer is full, the disk counts as stalled.
/// Python's `SocketHandler` gives up after 1 s without progress, and drops its connection with all
/// data that is on its way.
pub const STALLED_DISK_MILLISECONDS: u64 = 500;

/// The length of the pieces in which [`STALLED_DISK_MILLISECONDS`] is counted, so that time during
/// which the machine is suspended does not use it up.
pub const STALLED_DISK_PIECE_MILLISECONDS: u64 = 25;

/// If batches arrive in less than this time each, on average, a commit waits for
/// [`GATHER_MICROSECONDS`] until more have gathered. Otherwise commits of many small batches would
/// take the processor from the producers.
pub const GATHER_BELOW_MICROSECONDS: u64 = 25;

/// How long such a commit waits. At that load the latency is a multiple of this wait anyway.
pub const GATHER_MICROSECONDS: u64 = 300;

/// How long the spool waits, after it rejected records for lack of space, until it checks again by
/// itself.
pub const FULL_RETRY_MILLISECONDS: u64 = 500;

// store

/// A store that failed is retried after this pause, then after twice as long, and so on.
pub const STORE_RETRY_MILLISECONDS_MIN: u64 = 50;

/// The longest pause between two retries of a store: a store that is available again is noticed
/// within a second.
pub const STORE_RETRY_MILLISECONDS_MAX: u64 = 1000;

/// Records that a store has received are made durable there at least this often, so that the spool
/// can release them.
pub const STORE_SYNC_MILLISECONDS: u64 = 1000;

/// Records after which a store is synced even before [`STORE_SYNC_MILLISECONDS`] have passed, so
/// that a busy spool stays small.
pub const STORE_SYNC_ROWS: u64 = 200_000;

/// Pause between two checks whether retention or rotation has something to do.
pub const STORE_MAINTAIN_SECONDS: u64 = 5;

/// Stored records after which one more slice of maintenance runs: as many as retention deletes in
/// one slice, so that a database does not grow under a high load.
pub const STORE_MAINTAIN_SLICE_ROWS: u64 = SQLITE_BLOCK_ROWS;

/// Retention deletes at most this many times as many records as arrive. With 1, a database that has
/// grown beyond its bound would stay there for as long as records arrive.
pub const STORE_MAINTAIN_PACE: u64 = 2;

/// How long the clock must have been observed to run evenly before records are deleted for their
/// age: time for a person to notice a wrong clock.
pub const RETENTION_EVIDENCE_SECONDS_MAX: u64 = 86_400;

/// Services that are kept for a shorter time than the rest. Each record is compared with each of
/// them once.
pub const RETENTION_SERVICES_MAX: usize = 64;

/// The page cache of the connection that writes to a SQLite database.
pub const SQLITE_CACHE_KIB_MAX: u64 = 4096;

/// The page cache of a connection that reads. It is small because a slice of a query reads most
/// pages once.
pub const SQLITE_READER_CACHE_KIB_MAX: u64 = 1024;

/// The write-ahead log is copied into the database once it is larger than this.
pub const SQLITE_WAL_BYTES_TARGET: u64 = 16 << 20;

/// Once the write-ahead log is this large, no query begins until the running queries have ended and
/// the log is empty. With queries that overlap without end, the log would otherwise grow without
/// end. What arrives during the longest query is added to this size.
pub const SQLITE_WAL_BYTES_QUERIES_MAX: u64 = 256 << 20;

/// Statements of `sql` are stopped once the write-ahead log is this large. Each of them keeps its
/// snapshot of the database for up to `query_seconds_max`, while a busy store writes 100 MiB/s.
pub const SQLITE_WAL_BYTES_STATEMENTS_MAX: u64 = if cfg!(test) { 1 } else { 512 << 20 };

/// Pause between two checks of the size of the write-ahead log.
pub const SQLITE_LOG_LOOK_MILLISECONDS: u64 = 250;

/// The longest time that queries wait for the store to empty the write-ahead log: the store may
/// have failed.
pub const SQLITE_LOG_EMPTY_SECONDS_MAX: u64 = 10;

/// Pause after the write-ahead log could not be emptied, for example because another program reads
/// the database.
pub const SQLITE_LOG_RETRY_SECONDS: u64 = 60;

/// If a reader keeps this much in the write-ahead log, retention waits: its deletions would only
/// lengthen the log.
pub const SQLITE_WAL_BYTES_HELD_MAX: u64 = if cfg!(test) { 1 } else { 4 } * SQLITE_WAL_BYTES_TARGET;

/// Rows that one statement inserts. This costs a fifth less than one statement per row, and more
/// rows gain little.
pub const SQLITE_STATEMENT_ROWS: usize = 32;

/// Bytes of a page of a new database. Pages of 8 KiB waste less space at their ends than SQLite's
/// usual 4 KiB: a tenth of the disk.
pub const SQLITE_PAGE_BYTES: u32 = 8 << 10;

/// Bytes of messages and attributes after which a slice of a migration of SQLite's tables ends.
pub const SQLITE_MIGRATION_BYTES: usize = 1 << 20;

/// Names of an earlier version that are deleted at once: each is at another place of two indexes.
pub const SQLITE_MIGRATION_NAMES: i64 = 256;

/// Values that one dictionary of the SQLite store has for one generation of records. Numbers below
/// this take one or two bytes in a row.
pub const SQLITE_NAMES_MAX: u16 = 1 << 14;

/// Bytes of the values of one dictionary for one generation.
pub const SQLITE_NAMES_BYTES_MAX: usize = 1 << 20;

/// How often a value occurs before a dictionary of the SQLite store has it.
pub const SQLITE_NAME_OCCURRENCES_MIN: u8 = 4;

/// Values of a dictionary whose occurrences are counted at a time, 4 bytes each.
pub const SQLITE_NAMES_COUNTED: usize = 1 << 15;

/// The memory for what a slice of a query has read from dictionaries.
pub const SQLITE_READER_NAMES_BYTES_MAX: usize = 512 << 10;

/// Rows of a block. A query skips this many rows if the block cannot match, and retention deletes
/// this many rows at once.
pub const SQLITE_BLOCK_ROWS: u64 = 4096;

/// The fraction of a filter's bits that are set. A token that is not in a block appears to be in it
/// with about the fourth power of this fraction as probability. A lower fraction would make the
/// filters larger, and a higher one would make queries read more blocks.
pub const SQLITE_FILTER_LOAD: f64 = 0.27;

/// Lines (of 64 bytes) in the filter of one block: enough for 20 different tokens in each of its
/// records.
pub const SQLITE_FILTER_LINES_MAX: usize = 2048;

/// Lines of a filter that has not yet been fitted to its content: 512 KiB. A power of two.
pub const SQLITE_FILTER_LINES_FIRST: usize = 8192;

/// Recent tokens of a growing filter that are remembered, so that they are not added again and
/// again: as many as fit into the fastest cache of a processor.
pub const SQLITE_FILTER_TOKENS_KEPT: usize = 1024;

/// Bytes of the rows that are read again for the filter of a block when the database is opened,
/// which also happens after each error: 20 ms. A block with more bytes has no filter.
pub const SQLITE_REREAD_BYTES_MAX: usize = 8 << 20;

/// How often one slice of a query reads filters: each time reads a page, and the slice should not
/// take long.
pub const SQLITE_FILTER_LOOKUPS_MAX: usize = 512;

/// Counts of one block by time, severity and service: about 2 KiB. With more, the resolution of the
/// time is reduced.
pub const SQLITE_COUNTS_MAX: usize = 512;

/// Names of services in the counts of one block, in bytes. A block with longer names has no counts.
pub const SQLITE_COUNTS_SERVICES_BYTES_MAX: usize = 8 << 10;

/// Rows from which on a thread of its own builds their filter while they are inserted. Starting the
/// thread takes as long as a few dozen rows.
pub const SQLITE_INDEX_BESIDE_ROWS_MIN: u64 = 512;

/// The cost of the counts of one block in a slice of a query, in rows.
pub const SQLITE_COUNTS_ROWS: u64 = 64;

/// How long connecting to a PostgreSQL server may take, unless `connect_timeout` sets another
/// limit.
pub const POSTGRES_CONNECT_SECONDS: u64 = 10;

/// A server that neither receives nor sends a byte for this long, although it should, counts as
/// lost. A transaction that waits for its disk, or for a standby, finishes sooner.
pub const POSTGRES_SILENCE_SECONDS_MAX: u64 = 30;

/// The limit that replaces [`POSTGRES_SILENCE_SECONDS_MAX`] while tables are created or changed:
/// PostgreSQL scans the default partition before it attaches another.
pub const POSTGRES_DEFINITION_SECONDS_MAX: u64 = 120;

/// The server cancels a change of tables after this time, before the program would count the server
/// as lost. The result of the change is then known, and the change no longer blocks other sessions.
pub const POSTGRES_DEFINITION_STATEMENT_SECONDS_MAX: u64 = 60;

/// How long a change of tables waits for a lock: sessions that read or write the table wait behind
/// it during that time.
pub const POSTGRES_DEFINITION_LOCK_SECONDS_MAX: u64 = 1;

/// How long a statement waits for a lock. A waiting statement blocks all sessions that come after
/// it, so the wait must be short.
pub const POSTGRES_LOCK_SECONDS_MAX: u64 = 5;

/// The server closes a connection of this program whose transaction is idle for this long: the
/// transaction may hold a lock that the program waits for.
pub const POSTGRES_IDLE_TRANSACTION_SECONDS_MAX: u64 = 60;

/// Rows are sent in pieces of about this size. (A record that is larger makes a larger piece.)
pub const POSTGRES_PIECE_BYTES: usize = 64 << 10;

/// Origins whose encoded columns are kept.
pub const POSTGRES_ORIGINS_MAX: usize = 256;

/// The longest encoded columns of an origin that are kept. Longer ones are encoded again for each
/// record, so that the memory for [`POSTGRES_ORIGINS_MAX`] origins stays small.
pub const POSTGRES_ORIGIN_BYTES_MAX: usize = 1 << 10;

/// Days before today that get a partition of their own when a record of them arrives: a year and a
/// day.
pub const POSTGRES_PAST_DAYS_MAX: i32 = 366;

/// Partitions that are created for one chunk. The other days of the chunk wait for their next
/// chunk, and their rows go into the default partition.
pub const POSTGRES_NEW_DAYS_MAX: usize = 8;

/// Rows that a new partition takes over from the default partition. The rows of a day with more
/// stay in the default partition.
pub const POSTGRES_MOVED_ROWS_MAX: i64 = 100_000;

/// Ids that the first slice of a search examines in PostgreSQL. It is not smaller because each
/// slice is a statement that is planned anew.
pub const POSTGRES_SLICE_IDS_MIN: u64 = 4096;

/// The factor by which each next slice is larger: ids without a match are soon passed, and matches
/// that are found within the time of a query are still reported.
pub const POSTGRES_SLICE_GROWTH: u64 = 4;

/// Rows that one slice of a search receives from PostgreSQL. They arrive one by one.
pub const POSTGRES_SLICE_RECORDS_MAX: usize = 1000;

/// The limit that replaces [`POSTGRES_SLICE_RECORDS_MAX`] where matches are only counted and not
/// kept: such a statement may run for longer.
pub const POSTGRES_FOLD_RECORDS_MAX: usize = 100_000;

/// Records of a node whose earliest time is taken as the approximate time of its first records:
/// some seconds of the disorder that clocks and networks cause.
pub const POSTGRES_FIRST_IDS: u64 = 1000;

/// Rows that a statement of `sql` receives from PostgreSQL at once.
pub const POSTGRES_FETCH_ROWS: usize = 1000;

/// A row that is read from PostgreSQL: several times the largest record.
pub const POSTGRES_ROW_BYTES_MAX: u64 = 8 << 20;

/// Rows of the default partition that retention deletes at once.
pub const POSTGRES_DELETED_ROWS_MAX: i64 = 10_000;

/// Ids that the retention of a service examines at once: a day's partition is read by its index,
/// and few of the ids may match.
pub const POSTGRES_EXPIRED_IDS: i64 = 10_000;

/// Ids that one row of `logs_deleted` accounts for.
pub const POSTGRES_DELETED_BLOCK_IDS: i64 = 4096;

/// A password file or a service file of PostgreSQL. Content beyond this is not read.
pub const PASSFILE_BYTES_MAX: u64 = 1 << 20;

/// How long a store may take to report its position before the server starts without it.
pub const STORE_START_SECONDS_MAX: u64 = 5;

/// The file in which a data folder records the stores that it has claimed: far more than
/// [`CLAIMED_DATABASES_MAX`] and [`CLAIMS_PER_DATABASE_MAX`] need.
pub const CLAIMS_BYTES_MAX: u64 = 1 << 20;

/// Databases that a data folder remembers. The database that was claimed longest ago is forgotten
/// first, and must then be adopted manually.
pub const CLAIMED_DATABASES_MAX: usize = 64;

/// Claims that a data folder remembers for one database. An older state of the database (a backup,
/// a standby) is recognised as this folder's if its claim is one of them. With a server that
/// restarts daily they reach back eight months.
pub const CLAIMS_PER_DATABASE_MAX: usize = 256;

/// Ended claims that PostgreSQL keeps for each node, so that a data folder that lost its name can
/// continue under another one.
pub const POSTGRES_ENDED_CLAIMS_MAX: i64 = 256;

/// Width and precision of one value in a line of a log file. A larger number is a typing error.
pub const LINE_FORMAT_WIDTH_MAX: usize = 1000;

/// Lines are written to the log file in pieces of about this size: large enough that the cost of
/// the call per line is negligible, small enough to stay in the processor's cache.
pub const LOG_FILE_WRITE_BYTES: usize = 128 << 10;

/// Bytes before the recorded end of a log file that are checked before anything behind that end is
/// cut off.
pub const LOG_FILE_TAIL_BYTES: usize = 4 << 10;

// view

/// The text of one query. People write tens of bytes, and programs that insert lists of ids write
/// hundreds.
pub const QUERY_BYTES_MAX: usize = 4 << 10;

/// Terms of one query. Each term is evaluated for every record that the other terms leave. SQLite
/// accepts 1000 arguments of a function and as many levels of an expression, so all terms fit into
/// one.
pub const QUERY_TERMS_MAX: usize = 64;

/// Parentheses inside parentheses in one query. Functions that walk the parsed tree recurse at most
/// three times as deep.
pub const QUERY_DEPTH_MAX: usize = 32;

/// An attribute string that is written in more bytes than this is indexed by its name alone: such
/// strings are stack traces, and a query for one that is equal is not to be expected.
pub const TOKEN_VALUE_BYTES_MAX: usize = 1536;

/// Names of attributes whose hashes are kept from one record to the next.
pub const TOKEN_NAMES_KEPT: usize = 32;
/// The longest attribute name whose hash is kept from one record to the next. It bounds the memory
/// for [`TOKEN_NAMES_KEPT`] names.
pub const TOKEN_NAME_BYTES_KEPT: usize = 64;

/// Words of one text in a query that are looked up in the index. Each lookup costs a page of the
/// index, and a few words already exclude most blocks.
pub const TOKENS_OF_PATTERN_MAX: usize = 16;

/// Rows that the first slice of a query examines. Each next slice examines more, as long as slices
/// take little time.
pub const QUERY_SLICE_ROWS_MIN: u64 = 256;

/// The most rows that one slice of a query examines.
pub const QUERY_SLICE_ROWS_MAX: u64 = 64 * SQLITE_BLOCK_ROWS;

/// The longest time that a slice of a query should take: other queries wait for their turn during
/// it.
pub const QUERY_SLICE_MILLISECONDS: u64 = 200;

/// The limit that replaces [`QUERY_SLICE_MILLISECONDS`] if one thread does everything.
pub const QUERY_SLICE_INLINE_MILLISECONDS: u64 = 20;

/// Records that one transaction of a deletion deletes. The store receives new records between any
/// two transactions.
pub const DELETE_SLICE_RECORDS: usize = 1000;

/// Approximate bytes of records that one transaction of a deletion deletes at most: they are
/// written twice, and cause a write-ahead log of that size.
pub const DELETE_SLICE_BYTES: usize = 8 << 20;

/// Services that a deletion counts separately. The rest are counted together.
pub const DELETE_SERVICES_MAX: usize = 1000;

/// Dead letters that a deletion reads at once: each may be a largest record, escaped.
pub const DELETE_LETTERS: usize = 8;

/// The body of a deletion request: a query, and little else.
pub const DELETE_BYTES_MAX: usize = 64 << 10;

/// How long a deletion searches for origins that no record has any more: less than a command waits
/// for a response.
pub const DELETE_NAMES_SECONDS_MAX: u64 = 240;

/// Ids of origins that a deletion searches for in one pass, a bit each: 2 MiB. In a database with
/// more ids, all records are read again for the next pass.
pub const DELETE_NAMES_IDS: i64 = if cfg!(test) { 1 << 10 } else { 1 << 24 };

/// How often a deletion retries a store that fails before the deletion stops.
pub const DELETE_TRIES_MAX: u32 = 5;

/// Pause of a deletion before it retries a store that has failed.
pub const DELETE_RETRY_MILLISECONDS: u64 = 1000;

/// Pause of a deletion before it tries again to erase what was deleted, while a reader prevents
/// that.
pub const DELETE_SCRUB_RETRY_MILLISECONDS: u64 = 50;

/// A complete response that is longer than this is sent in pieces, and counts towards the bounds on
/// responses until it has been read. A shorter one fits into the buffers of a connection.
pub const ANSWER_SHORT_BYTES_MAX: usize = 16 << 10;

/// The size of the pieces in which such a response is built and sent: memory is acquired and
/// released for each piece.
pub const ANSWER_PIECE_BYTES: usize = 64 << 10;

/// A slice of a response is sent once it holds this much.
pub const QUERY_SLICE_BYTES: usize = 128 << 10;

/// Records of a response that is one JSON document. Streams (NDJSON) have no limit but time.
pub const QUERY_PAGE_RECORDS_MAX: u64 = 10_000;

/// Records before one record, and after it, that are shown with it.
pub const CONTEXT_RECORDS_MAX: u64 = 1000;

/// Fields of one row of CSV.
pub const CSV_FIELDS_MAX: usize = 100;

/// Queries that need much memory and run at a time, while others wait: statements of `sql`, and
/// histograms, lists of fields and the like, which keep counts while they examine records. The
/// bound leaves room for the other queries of [`QUERIES_MAX`].
pub const QUERIES_HEAVY_MAX: usize = 2;

/// Texts that a histogram or the like keeps in order to count them, with the data of each.
/// (Counters of a histogram are not included.)
pub const COUNTED_BYTES_MAX: usize = 5 << 20;

/// A value that is longer than this is not counted separately.
pub const COUNTED_VALUE_BYTES_MAX: usize = 1 << 10;

/// Different values of one field that are counted separately.
pub const COUNTED_VALUES_MAX: usize = 10_000;

/// Fields that are counted separately.
pub const COUNTED_FIELDS_MAX: usize = 1000;

/// Levels of attributes within attributes that are counted separately. Deeper attributes are hardly
/// ever searched for.
pub const COUNTED_LEVELS_MAX: usize = 8;

/// Values of one field in a response.
pub const LISTED_VALUES_MAX: u64 = 1000;

/// Buckets of a histogram by default: a bar every few millimetres of a screen.
pub const HISTOGRAM_BUCKETS_DEFAULT: u64 = 60;

/// Buckets of a histogram: a bar every few pixels.
pub const HISTOGRAM_BUCKETS_MAX: u64 = 500;

/// Values that a histogram distinguishes while it counts: with [`HISTOGRAM_BUCKETS_MAX`] buckets
/// each, 4 MB of counters.
pub const HISTOGRAM_VALUES_MAX: usize = 1000;

/// Values that a histogram shows separately. The rest are shown as one.
pub const HISTOGRAM_SERIES_MAX: usize = 9;

/// Groups of errors that are distinguished, and listed.
pub const ERROR_GROUPS_MAX: usize = 1000;

/// The beginning of an error's message that is shown.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Buckets of the small histogram of an error.
pub const ERROR_BUCKETS_MAX: u64 = 24;

/// Queries that run at a time. Others wait.
pub const QUERIES_MAX: usize = 4;

/// Threads for queries, in addition to those of the spool and the stores. They exist all the time.
pub const BLOCKING_THREADS_MAX: usize = QUERIES_MAX;

/// Bytes of a response that is one JSON document.
pub const PAGE_BYTES_MAX: usize = 8 << 20;

/// Memory that a tail needs for as long as it is open: its mailbox, and data on its way to the
/// client. (The last records that it may begin with are sent at once.)
pub const TAIL_MEMORY_KIB: usize = 256;

/// Memory that a response needs for as long as it is open: two pieces of it, and a connection to
/// the database.
pub const ANSWER_MEMORY_KIB: usize = 320;

/// Memory that a slice of a query needs while it runs: a page cache, and its output.
pub const QUERY_MEMORY_KIB: usize = 2 << 10;

/// Memory that a statement of `sql` needs while it runs, with [`SQL_MEMORY_BYTES_MAX`], or that a
/// query that counts needs, with [`COUNTED_BYTES_MAX`].
pub const QUERY_HEAVY_MEMORY_KIB: usize = 8 << 10;

/// The memory for everything that is read back: tails, responses and queries. The number of each
/// kind is bounded, and so are the bytes of each one; this is the sum. With the memory of ingestion
/// and of a store under full load the total is 64 MB, because not all of it is in use at the same
/// time.
pub const READING_MEMORY_KIB_MAX: usize = TAILS_MAX * TAIL_MEMORY_KIB
    + ANSWERS_MAX * ANSWER_MEMORY_KIB
    + QUERIES_HEAVY_MAX * QUERY_HEAVY_MEMORY_KIB
    + (QUERIES_MAX - QUERIES_HEAVY_MAX) * QUERY_MEMORY_KIB
    + SQL_ANSWERS_KIB_MAX;

/// Responses of `sql` that are built or read, all together, in KiB: the largest of them fits.
pub const SQL_ANSWERS_KIB_MAX: usize = (PAGE_BYTES_MAX >> 10) + 512;

/// Memory that SQLite may allocate for one statement of `sql`, whatever its text: a few of the
/// longest values, a page cache, and the beginning of a sort. The rest of the sort goes into
/// temporary files.
pub const SQL_MEMORY_BYTES_MAX: i64 = 7 << 20;

/// The page cache of a statement of `sql`, and of each of its temporary tables.
pub const SQL_CACHE_KIB_MAX: u64 = 512;

/// Statements of `sql` whose memory is accounted for at a time: more than can run.
pub const SQL_ACCOUNTS_MAX: usize = 4 * QUERIES_MAX;

/// Temporary files of one statement of `sql`: a sort of some millions of records.
pub const SQL_TEMPORARY_BYTES_MAX: i64 = 512 << 20;

/// Temporary files of all statements of `sql` together.
pub const SQL_TEMPORARY_TOTAL_BYTES_MAX: i64 = 1 << 30;

/// Space that temporary files leave free on their disk. The spool and the store may be on the same
/// disk, and need that space for the next records.
pub const SQL_TEMPORARY_FREE_BYTES_MIN: u64 = 256 << 20;

/// A statement of `sql` checks the clock after this many bytes of memory or temporary files: a
/// function that produces this many takes some ten microseconds.
pub const SQL_CLOCK_BYTES: i64 = 64 << 10;

/// Steps of SQLite's virtual machine after which a statement of `sql` checks the clock. It checks
/// the clock only where the machine jumps.
pub const SQL_CLOCK_STEPS: i32 = 100;

/// The longest value or row that a statement of `sql` may read or produce: twice the largest
/// record.
pub const SQL_VALUE_BYTES_MAX: i32 = 2 * RECORD_BYTES_MAX as i32;

/// The limit that replaces [`SQL_VALUE_BYTES_MAX`] if one thread does everything: the largest
/// record.
pub const SQL_INLINE_VALUE_BYTES_MAX: i32 = RECORD_BYTES_MAX as i32 + RECORD_OVERHEAD_BYTES_MAX as i32;

/// Columns of a row that a statement of `sql` produces: each may be a longest value. The view
/// `logs` has fewer than 32.
pub const SQL_COLUMNS_MAX: i32 = 64;

/// The longest pattern of LIKE and GLOB in `sql`, in bytes.
pub const SQL_PATTERN_BYTES_MAX: usize = 256;

/// Different characters that `trim` removes in `sql`.
pub const SQL_TRIMMED_CHARACTERS_MAX: usize = 1000;

/// Arguments of a function in `sql`: JSON functions take some time for each.
pub const SQL_FUNCTION_ARGUMENTS_MAX: i32 = 100;

/// The limit that replaces [`SQL_FUNCTION_ARGUMENTS_MAX`] if one thread does everything.
pub const SQL_INLINE_FUNCTION_ARGUMENTS_MAX: i32 = 16;

/// Levels of an expression in `sql`. The bound exists because SQLite recurses over them.
pub const SQL_DEPTH_MAX: i32 = 200;

/// Selects that UNION and the like join in `sql`.
pub const SQL_COMPOUND_MAX: i32 = 64;

/// Steps of the program that a statement of `sql` is compiled to: a list of 10,000 ids fits.
pub const SQL_OPERATIONS_MAX: i32 = 250_000;

/// Steps of such a program that process whole values. They may follow each other directly, and the
/// clock is not checked between them; each takes up to 4 ms for a longest value. The view `logs`
/// needs some 60.
pub const SQL_LONG_OPERATIONS_MAX: usize = 4000;

/// The limit that replaces [`SQL_LONG_OPERATIONS_MAX`] if one thread does everything: each step
/// takes up to 2 ms.
pub const SQL_INLINE_LONG_OPERATIONS_MAX: usize = 400;

/// The longest time that a statement of `sql` runs if one thread does everything, because nothing
/// else runs during it.
pub const SQL_INLINE_MILLISECONDS_MAX: u64 = 250;

/// The body of a `sql` request.
pub const SQL_BYTES_MAX: usize = 64 << 10;

/// How long a flush waits for the stores.
pub const FLUSH_SECONDS_MAX: u64 = 30;

/// Characters of a problem's text in a label of a metric: the text of a database server can have
/// any length.
pub const METRIC_PROBLEM_CHARS_MAX: usize = 500;

/// Responses to queries that are open at a time, however slowly they are read. Each holds a few
/// slices.
pub const ANSWERS_MAX: usize = 32;

/// Those of them that may be streams of more records than a page: an export lasts for as long as
/// its client reads it slowly, and must not keep pages, counts and statements of other clients out.
pub const EXPORTS_MAX: usize = 24;

/// Tails that are open at a time. Each may hold a few buffers, and its query is evaluated for every
/// record.
pub const TAILS_MAX: usize = 32;

/// A tail with this much to send receives no more records until its client reads. Its position in
/// the spool stays where it is until then.
pub const TAIL_BUFFER_BYTES: usize = 32 << 10;

/// For how long after it was full the last released segment of the spool is kept for a tail: its
/// client may only be waiting for a processor.
pub const TAIL_KEEP_MILLISECONDS: u64 = if cfg!(test) { 50 } else { 5000 };

/// How long the client of a tail has to read its end when the server stops.
pub const TAIL_END_MILLISECONDS: u64 = 1000;

/// Bytes of the spool that are read for tails at once. (A larger commit is read whole.)
pub const TAIL_READ_BYTES: usize = 256 << 10;

/// Bytes of records after which the matches so far are handed over, and other tasks can run.
pub const TAIL_PIECE_BYTES: usize = 16 << 10;

/// Pause between two reads of records that arrive without a pause, so that they are not sent in
/// very small parts.
pub const TAIL_GATHER_MILLISECONDS: u64 = 10;

/// The most records that a tail begins with.
pub const TAIL_LAST_RECORDS_MAX: u64 = 10_000;

/// The most bytes that the records that a tail begins with may have together.
pub const TAIL_LAST_BYTES_MAX: usize = 1 << 20;

/// How many of the latest records are examined for those that a tail begins with.
pub const TAIL_LAST_SCANNED_MAX: u64 = 1 << 17;

/// How often a tail sends a heartbeat.
pub const TAIL_HEARTBEAT_SECONDS: u64 = 15;

/// The connection of a tail's client that has read nothing for this long, although there was
/// something to send, is closed.
pub const TAIL_STALL_SECONDS_MAX: u64 = 30;

/// How long after the end of its time the response to a query may still be read. After that its
/// connection is closed.
pub const ANSWER_READ_SECONDS_MAX: u64 = 10;

// config

/// A configuration file. A larger file is not a configuration file.
pub const CONFIGURATION_BYTES_MAX: u64 = 1 << 20;

/// Errors of a configuration that are shown at once; further ones are counted. A file that is no
/// configuration file may have an error in every line.
pub const CONFIGURATION_MISTAKES_SHOWN_MAX: usize = 50;

/// The longest duration that an option accepts, 100 years: it can be added to any present time
/// without overflow.
pub const DURATION_SECONDS_MAX: u64 = 36_500 * 86_400;

/// Network threads. Beyond the cores of the largest machines, more threads only cost memory.
pub const THREADS_MAX: usize = 1024;

/// The path of a Unix socket: `sun_path` of Linux has 108 bytes with the terminating NUL.
pub const UNIX_PATH_BYTES_MAX: usize = 107;

/// The name of a store, which appears in every metric of the store.
pub const STORE_NAME_BYTES_MAX: usize = 64;

// cli

/// One line that a reading command accepts from a server: the largest record, if every byte were
/// escaped as `\\u0000`.
pub const ANSWER_LINE_BYTES_MAX: u64 = 8 * RECORD_BYTES_MAX as u64;

/// What a reading command holds of one response if it needs the whole: an SQL table, or records to
/// reverse.
pub const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// A server's explanation of an error.
pub const PROBLEM_BYTES_MAX: u64 = 64 << 10;

/// How long a reading command waits for a connection: any running server accepts it within this
/// time.
pub const CONNECT_SECONDS_MAX: u64 = 5;

/// How long a reading command waits for the server to begin or continue a response: longer than any
/// query may run, unless `query_seconds_max` was raised much.
pub const ANSWER_SECONDS_MAX: u64 = 300;

/// A tail that has received nothing for this long regards its connection as lost: more than two
/// heartbeats are missing.
pub const TAIL_SILENCE_SECONDS_MAX: u64 = 3 * TAIL_HEARTBEAT_SECONDS;

/// A tail that lost its connection reconnects after this pause, then after twice as long, and so
/// on.
pub const TAIL_RETRY_MILLISECONDS_MIN: u64 = 250;

/// The longest pause between two attempts of a tail to reconnect.
pub const TAIL_RETRY_MILLISECONDS_MAX: u64 = 5000;

/// Bytes that an import sends at once. Their records make one batch, which is stored whole or not
/// at all.
pub const IMPORT_BATCH_BYTES: usize = 384 << 10;

/// The most records that an import sends at once, however short they are: with the data that is
/// kept of each they make one batch.
pub const IMPORT_BATCH_RECORDS: usize = 1500;

/// How long an import retries a server that accepts no records.
pub const IMPORT_WAIT_SECONDS_MAX: u64 = 300;

/// Pages of a database that a backup copies in one step.
pub const BACKUP_STEP_PAGES: i32 = 1024;

/// How long a backup waits for a database whose position does not advance towards the end of the
/// spool.
pub const BACKUP_SPOOL_SECONDS_MAX: u64 = 5;

/// How long a backup waits for another process before it tries again.
pub const BACKUP_WAIT_MILLISECONDS: u64 = 100;

/// Bytes of a file that are copied at once.
pub const COPY_PIECE_BYTES: usize = 1 << 20;

// open files

/// Open files of each store: database, write-ahead log and its index, log file, position, folder,
/// and files that are open for a moment.
pub const DESCRIPTORS_PER_STORE: usize = 16;

/// Open files of each response that is being read: database, write-ahead log, and a file for what
/// does not fit into memory.
pub const DESCRIPTORS_PER_ANSWER: usize = 3;

/// Open files of each listener: its socket, and a connection that is being refused.
pub const DESCRIPTORS_PER_LISTENER: usize = 2;

/// Open files of the rest: standard streams, the runtime, the lock, signals, quarantine, and files
/// that a library opens.
pub const DESCRIPTORS_SPARE: usize = 64;

/// The fewest open files that connections and segments share: eight of each.
pub const DESCRIPTORS_SHARED_MIN: usize = 16;

// Conditions that the bounds must satisfy together.

const _: () = assert!(BATCH_BYTES_MAX as u64 + 1024 <= SPOOL_SEGMENT_BYTES_MIN);
const _: () = assert!(ATTRIBUTES_BYTES_MAX < RECORD_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_TARGET <= BATCH_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX < COMMIT_BYTES_MAX);
const _: () = assert!(TAIL_STALL_SECONDS_MAX < HTTP_WRITE_STALL_SECONDS_MAX);
const _: () = assert!(QUERY_SLICE_BYTES < GZIP_PIECE_BYTES_MAX);
const _: () =
    assert!(SQL_BYTES_MAX as u64 <= BODY_SMALL_BYTES_MAX && DELETE_BYTES_MAX as u64 <= BODY_SMALL_BYTES_MAX);
const _: () = assert!(IMPORT_BATCH_BYTES + IMPORT_BATCH_RECORDS * 72 <= BATCH_BYTES_TARGET);
const _: () = assert!(SQL_MEMORY_BYTES_MAX as usize + (512 << 10) < QUERY_HEAVY_MEMORY_KIB << 10);
const _: () = assert!(COUNTED_BYTES_MAX + (QUERY_MEMORY_KIB << 10) < QUERY_HEAVY_MEMORY_KIB << 10);
const _: () = assert!(READING_MEMORY_KIB_MAX <= 48 << 10);
