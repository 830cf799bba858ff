//! Every bound of the program, with its unit in the name and its reason.
//!
//! Those that an operator may want to change are the defaults of options in [`crate::config`]; the rest
//! are fixed because something else leans on them.

// record

/// One encoded record. What a client sends beyond it is cut, with a mark: 1 MiB holds any stack trace.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// The last id that a segment or a frame may begin with: databases have signed integers. At a million records a second
/// it is reached in 292,000 years.
pub const RECORD_ID_MAX: u64 = i64::MAX as u64;

/// What the encoding adds to the texts of one record: lengths, flags and numbers.
pub const RECORD_OVERHEAD_BYTES_MAX: usize = 256;

/// One encoded batch, the unit that is appended to the spool whole or not at all.
/// Two largest records fit, so that a batch can always take one more before it is full.
pub const BATCH_BYTES_MAX: usize = 2 * (RECORD_BYTES_MAX + RECORD_OVERHEAD_BYTES_MAX);

/// A batch is handed to the spool once it holds this much: large enough that the lock costs nothing a
/// record, small enough that four of them make one commit.
pub const BATCH_BYTES_TARGET: usize = 512 << 10;

/// The attributes of one record as JSON text.
pub const ATTRIBUTES_BYTES_MAX: usize = RECORD_BYTES_MAX / 2;

/// Attributes of one record; further ones are counted in `logboom.dropped_attributes`.
/// (OpenTelemetry's SDKs stop at 128.)
pub const ATTRIBUTES_MAX: usize = 1024;

// memory

/// Arenas of the C library's allocator. Each keeps what was freed in it; threads share them.
pub const ALLOCATOR_ARENAS_MAX: i32 = 2;

/// A block from this size on is mapped for itself, and its memory is returned to the system when it is freed.
pub const ALLOCATOR_MAPPED_BYTES_MIN: i32 = 256 << 10;

/// From this much resident memory on freed memory is returned to the system, at most once in
/// [`MEMORY_LOOK_MILLISECONDS`]: the promise is 64 MiB.
pub const MEMORY_TRIM_BYTES_MIN: u64 = 44 << 20;

/// See above: it takes some milliseconds.
pub const MEMORY_LOOK_MILLISECONDS: u64 = 250;

// log

/// Lines of the program's own log that wait for standard error: the content of four full pipes,
/// enough for a burst. Further lines are dropped and counted.
pub const LOG_BUFFER_BYTES_MAX: usize = 256 << 10;

/// The largest single write to standard error: `PIPE_BUF` of Linux. A pipe that poll reports as
/// writable accepts this much without blocking.
pub const LOG_WRITE_BYTES_MAX: usize = 4096;

/// One line. Error texts of databases have no limit of their own.
pub const LOG_LINE_BYTES_MAX: usize = 32 << 10;

/// How long until a blocked standard error is tried again.
pub const LOG_RETRY_MILLISECONDS: u64 = 250;

/// How long the program waits for a blocked standard error before it exits.
pub const LOG_END_MILLISECONDS_MAX: u64 = 500;

/// Lines of one kind that clients can cause (see [`crate::log::Kind`]) in one interval: enough to
/// see what is wrong. Without a limit, connections of another protocol can cause 1.1 MB of log per
/// second.
pub const LOG_LINES_PER_INTERVAL_MAX: u32 = 10;

/// That interval. At its end one line reports how many were suppressed.
pub const LOG_INTERVAL_SECONDS: u64 = 60;

// ingest

/// What a dead letter keeps of the input.
pub const DEAD_LETTER_BYTES_MAX: usize = 4096;

/// Dead letters of one connection per interval. A frame of 4 bytes becomes some 500 bytes of
/// database, and a client can send a million frames per second. Further inputs are only counted.
pub const DEAD_LETTERS_PER_CONNECTION_MAX: u32 = 60;

/// Dead letters of one source per interval, over all connections: at most 1 GB of database per day.
pub const DEAD_LETTERS_PER_SOURCE_MAX: u32 = 300;

/// Bytes of input in the dead letters of one source per interval: 1.7 KiB for each, more than an
/// ordinary record has.
pub const DEAD_LETTERS_BYTES_PER_SOURCE_MAX: usize = 512 << 10;

/// The interval of these limits.
pub const DEAD_LETTERS_INTERVAL_SECONDS: u64 = 60;

/// The labels of a listener, which each of its records repeats.
pub const LABELS_BYTES_MAX: usize = 512;

/// How long sources are given to hand over what clients have sent, once the program stops.
pub const DRAIN_SECONDS_MAX: u64 = 3;

/// That time is told in pieces of this length.
pub const DRAIN_PIECE_MILLISECONDS: u64 = 50;

/// Pause after a connection could not be accepted, for want of descriptors.
pub const ACCEPT_RETRY_MILLISECONDS: u64 = 100;

/// Connections that may wait to be accepted: 200 clients that start at once fit well.
pub const LISTEN_BACKLOG: i32 = 4096;

/// A peer that does not answer for this long is asked whether it is still there.
pub const KEEPALIVE_SECONDS: u64 = 60;

// ingest: Python

/// Read at once from a socket; one such buffer a thread.
pub const READ_BUFFER_BYTES: usize = 256 << 10;

/// The beginnings of unfinished frames, of all connections together.
pub const PARTIAL_FRAMES_BYTES_MAX: usize = 16 << 20;

/// So much of each is kept even beyond that: the beginning of an ordinary record, so that those who send none but ordinary
/// ones do not suffer from those who hold the memory.
pub const PARTIAL_FRAME_BYTES_FREE: usize = 1 << 10;

/// Once half of that memory is in use, a frame that takes longer than this loses its connection, whatever
/// `frame_seconds_max` says. Python's `SocketHandler` gives up after the same time without progress.
pub const STALLED_FRAME_DURATION: std::time::Duration = std::time::Duration::from_secs(1);

/// The largest datagram that can arrive.
pub const DATAGRAM_BYTES_MAX: usize = 64 << 10;

/// Datagrams taken before their batch is appended.
pub const DATAGRAMS_PER_BATCH_MAX: usize = 256;

/// The receive buffer that is asked for on UDP sockets (Linux grants up to `net.core.rmem_max`): nothing slows a sender
/// down there, so a burst must fit.
pub const DATAGRAM_SOCKET_BYTES: usize = 4 << 20;

/// How often dropped datagrams are looked for.
pub const DROPPED_DATAGRAMS_SECONDS: u64 = 5;

/// `frame_bytes_max` must stay below: then the first byte of a frame's length is 0, which no other protocol begins with.
pub const FRAME_BYTES_LIMIT: usize = 16 << 20;

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

/// Members that a record has on the fast path, where each key is compared with all before it.
pub const PICKLE_MEMBERS_PLAIN_MAX: usize = 64;

/// Memo entries that the fast path for plain records remembers.
pub const PICKLE_MEMO_PLAIN_MAX: usize = 64;

/// What a decoder keeps of each of its buffers between records, in elements; an ordinary record needs a hundred.
pub const DECODER_SCRATCH_MAX: usize = 1 << 14;

/// Directives of one `%` template.
pub const PERCENT_DIRECTIVES_MAX: usize = 1024;

/// Arguments of one `%` template.
pub const PERCENT_ARGUMENTS_MAX: usize = 256;

/// Width and precision in a `%` template, in characters.
pub const PERCENT_WIDTH_MAX: usize = 1000;

// ingest: shapes

/// Shapes that a decoder remembers.
pub const SHAPES_MAX: usize = 8;

/// Text of a shape.
pub const SHAPE_BYTES_MAX: usize = 4 << 10;

// ingest: HTTP

/// Memory for all bodies of HTTP requests that are being read, in KiB.
pub const BODY_MEMORY_KIB_MAX: u32 = 24 << 10;

/// What one body of unknown or considerable length takes of it: a batch, a value that is not complete, a piece.
pub const BODY_KIB_MAX: u32 = 2 << 10;

/// What one body takes of it beside its length: a batch.
pub const BODY_BATCH_KIB_MAX: u32 = (BATCH_BYTES_TARGET >> 10) as u32 + 128;

/// A body up to this length takes no more than its length, and that from a reserve that large bodies leave alone.
pub const BODY_SMALL_BYTES_MAX: u64 = 64 << 10;

/// That reserve, in KiB: 128 of the largest small bodies.
pub const BODY_SMALL_MEMORY_KIB_MAX: u32 = 8 << 10;

/// How long a body whose first bytes are here waits for memory; then the client is asked to come back.
pub const BODY_WAIT_SECONDS_MAX: u64 = 5;

/// The longest pause between two pieces of a body.
pub const BODY_PAUSE_SECONDS_MAX: u64 = 10;

/// So much of a body is inflated and decoded before the batch is looked at and others get their turn: even the smallest
/// records neither overfill the batch then nor take long.
pub const BODY_PIECE_BYTES: usize = 8 << 10;

/// Batches that a thread keeps for the requests to come, and the largest that it keeps.
pub const BODY_BATCHES_KEPT_MAX: usize = 16;

/// See above.
pub const BODY_BATCH_KEPT_BYTES_MAX: usize = 16 << 10;

/// Errors that an answer lists; further ones are only counted.
pub const BODY_ERRORS_MAX: usize = 100;

/// The largest window of a zstd body, 8 MiB: level 19 needs it.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// One JSON value of a request body, as it was sent. What is larger is refused without being held in memory.
pub const JSON_RECORD_BYTES_MAX: usize = 1 << 20;

/// Members of one JSON object that are looked at; further ones are counted in `logboom.dropped_attributes`. It keeps the
/// memory for them small; all of [`ATTRIBUTES_MAX`] and every name of a field fit.
pub const JSON_MEMBERS_MAX: usize = 2 * ATTRIBUTES_MAX;

/// How deep the objects and arrays in an attribute's value may nest; what nests deeper is stored as text.
/// SQLite stops at 1000 levels, PostgreSQL at its stack, many parsers at 128.
pub const JSON_DEPTH_MAX: usize = 64;

/// What HTTP/1 reads at once of a body.
pub const HTTP_BUFFER_BYTES_MAX: usize = 128 << 10;

/// The longest request head: a query of 4 KiB, percent-encoded, and the cookies of everything else on `localhost` fit.
pub const HTTP_HEAD_BYTES_MAX: usize = 32 << 10;

/// A connection whose buffer has grown beyond this gives it back between two requests.
pub const HTTP_BUFFER_BYTES_KEPT_MAX: usize = 32 << 10;

/// HTTP connections that keep their memory while they rest, some 20 KiB each: more than a team's services have.
pub const HTTP_TURNS_ENDLESS_MAX: usize = 384;

/// Of the others, those that have memory at once: from the whole head of a request to the last byte of its answer.
pub const HTTP_TURNS_SHORT_MAX: usize = 256;

/// Requests at once that wait for queries, for stores or for a deletion; half of the slots stay free for records and health checks.
pub const HTTP_LONG_REQUESTS_MAX: usize = HTTP_TURNS_SHORT_MAX / 2;

/// Unfinished request heads of all connections that wait for a slot, together: 4,000 ordinary ones.
pub const HTTP_HEADS_BYTES_MAX: usize = 4 << 20;

/// This much of each is kept even beyond that, so that ordinary clients do not suffer from others.
pub const HTTP_HEAD_BYTES_FREE: usize = 1 << 10;

/// This much of a request is looked at in the socket for the end of its head: nearly all heads end within.
pub const HTTP_PEEK_BYTES: usize = 4 << 10;

/// How long a request head may take to arrive once the connection has sent something, or an idle connection stays open.
pub const HTTP_HEAD_SECONDS_MAX: u64 = 60;

/// A client that has taken nothing for this long, though there was something to send, loses its connection. Answers that have limits
/// of their own (tails, records) reach those first, and say so in the log.
pub const HTTP_WRITE_STALL_SECONDS_MAX: u64 = 45;

/// While others wait for what a client holds, the client may keep the server waiting this long. A packet that is lost twice comes
/// within.
pub const CLIENT_PATIENCE_MILLISECONDS: u64 = 1000;

/// Each byte that moves gives back that time at this pace: slower than any network that is in use.
pub const CLIENT_BYTES_PER_SECOND_MIN: u64 = 8 << 10;

/// A wait for a client is counted in pieces of at most this length, of which few pass while the machine stands still.
pub const STALL_PIECE_MILLISECONDS: u64 = 250;

// spool

/// What one commit of the spool may hold, its frame header included. Two such buffers exist (one fills while the
/// other is written), and one more per reader. With a segment's header it fills the smallest segment.
pub const COMMIT_BYTES_MAX: usize = SPOOL_SEGMENT_BYTES_MIN as usize - 4096;

/// The smallest segment of the spool: the largest batch must fit, and its frame's header.
pub const SPOOL_SEGMENT_BYTES_MIN: u64 = 4 << 20;

/// Segments that the spool must have room for: one being written, one prepared, one being shipped.
pub const SPOOL_SEGMENTS_MIN: u64 = 3;

/// Emptied segment files that are kept to be written again, which spares the file system work at each commit.
pub const FREE_SEGMENTS_MAX: usize = 4;

/// Damaged stretches set aside; what is damaged beyond it is only counted.
pub const QUARANTINE_BYTES_MAX: u64 = 256 << 20;

/// Damaged stretches that are remembered, so that each is set aside and counted once however many stores read past it.
pub const DAMAGES_MAX: usize = 4096;

/// How often a place of the spool that the disk cannot read is tried before the records in it count as damaged. The pauses
/// between the tries are those of [`STORE_RETRY_MILLISECONDS_MIN`] and the next ones: four seconds in all.
pub const SPOOL_READ_TRIES_MAX: u32 = 9;

/// How often one page is read at once, without a pause: where nothing can wait, as at the start.
pub const PAGE_READ_TRIES_MAX: u32 = 3;

/// How often the spool's files are looked at while nothing is written to them: whether they still are where they were.
pub const SPOOL_LOOK_MILLISECONDS: u64 = 500;

/// A commit that takes longer than this while the next buffer is full: the disk stands still. Python's `SocketHandler` gives
/// up after 1 s without progress, and drops its connection with all that is under way.
pub const STALLED_DISK_MILLISECONDS: u64 = 500;

/// That time is told in pieces of this length.
pub const STALLED_DISK_PIECE_MILLISECONDS: u64 = 25;

/// Where batches follow each other faster than this, a commit waits for [`GATHER_MICROSECONDS`] until more have gathered.
pub const GATHER_BELOW_MICROSECONDS: u64 = 25;

/// What such a wait adds to a latency that is a multiple of it at such a load.
pub const GATHER_MICROSECONDS: u64 = 300;

/// After the spool has refused records for want of space, how long until it looks again by itself.
pub const FULL_RETRY_MILLISECONDS: u64 = 500;

// store

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

/// Records for which one more slice of housekeeping is done once they are stored: as many as
/// retention deletes in one, so that a database does not grow while much comes.
pub const STORE_MAINTAIN_SLICE_ROWS: u64 = SQLITE_BLOCK_ROWS;

/// Retention deletes up to this many times as many records as arrive. With 1 a database that had grown beyond its bound would stay
/// there for as long as records arrive.
pub const STORE_MAINTAIN_PACE: u64 = 2;

/// For so long the clock must have been seen to run evenly before records are deleted for their age: time for a person to
/// notice a wrong clock.
pub const RETENTION_EVIDENCE_SECONDS_MAX: u64 = 86_400;

/// Services that are kept for a shorter time than the rest; each is looked for in every record once.
pub const RETENTION_SERVICES_MAX: usize = 64;

/// The page cache of the connection that writes to a SQLite database.
pub const SQLITE_CACHE_KIB_MAX: u64 = 4096;

/// The page cache of a connection that reads: a slice of a query reads most pages once.
pub const SQLITE_READER_CACHE_KIB_MAX: u64 = 1024;

/// The write-ahead log is moved into the database once it is larger than this.
pub const SQLITE_WAL_BYTES_TARGET: u64 = 16 << 20;

/// Once the write-ahead log is this large no query begins until those that run have ended and the log is empty: where queries
/// overlap without end it would grow without end. On top of this comes what arrives during the longest query.
pub const SQLITE_WAL_BYTES_QUERIES_MAX: u64 = 256 << 20;

/// Pause between two looks at the size of the log.
pub const SQLITE_LOG_LOOK_MILLISECONDS: u64 = 1000;

/// Queries wait no longer than this for the store to empty the log: the store may have failed.
pub const SQLITE_LOG_EMPTY_SECONDS_MAX: u64 = 10;

/// Pause after a log that could not be emptied, as where another program reads the database.
pub const SQLITE_LOG_RETRY_SECONDS: u64 = 60;

/// With so much in the write-ahead log because a reader holds it, retention waits: what it deletes
/// would only lengthen the log.
pub const SQLITE_WAL_BYTES_HELD_MAX: u64 = if cfg!(test) { 1 } else { 4 } * SQLITE_WAL_BYTES_TARGET;

/// Rows that one statement inserts: it costs a fifth less than one each, and more rows gain little.
pub const SQLITE_STATEMENT_ROWS: usize = 32;

/// Bytes of a page of a new database. 8 KiB waste less at their ends than SQLite's usual 4 KiB: a tenth of the disk.
pub const SQLITE_PAGE_BYTES: u32 = 8 << 10;

/// The memory for recently met origins, about 16,000 of them.
pub const SQLITE_ORIGINS_CACHE_BYTES_MAX: usize = 4 << 20;

/// Rows in a block: a query that a block cannot satisfy skips so many rows, and retention deletes so many at once.
pub const SQLITE_BLOCK_ROWS: u64 = 4096;

/// The part of a filter's bits that are set: a token that is not in a block seems to be there with about its fourth power. Less
/// would make the filters larger, and more let queries look into more blocks.
pub const SQLITE_FILTER_LOAD: f64 = 0.27;

/// Lines (of 64 bytes) in the filter of one block: enough for 20 different tokens in each of its records.
pub const SQLITE_FILTER_LINES_MAX: usize = 2048;

/// Lines of a filter that is not yet fitted to what is in it: 512 KiB. A power of two.
pub const SQLITE_FILTER_LINES_FIRST: usize = 8192;

/// Tokens of a growing filter that are remembered, not to be added again and again: as many as stay in a processor's fastest memory.
pub const SQLITE_FILTER_TOKENS_KEPT: usize = 1024;

/// Rows that are read again for the filter of a block when the database is opened, which happens after each error too: 20 ms. With
/// more the block goes without.
pub const SQLITE_REREAD_BYTES_MAX: usize = 8 << 20;

/// How often one slice of a query looks into filters: each time reads a page, and the slice should not take long.
pub const SQLITE_FILTER_LOOKUPS_MAX: usize = 512;

/// Counts of one block by time, severity and service: about 2 KiB. With more, time is told less finely.
pub const SQLITE_COUNTS_MAX: usize = 512;

/// Names of services in the counts of one block, in bytes. A block with more goes without counts.
pub const SQLITE_COUNTS_SERVICES_BYTES_MAX: usize = 8 << 10;

/// An encoded origin that is longer is looked into again with each of its records.
pub const SQLITE_INDEX_ORIGIN_BYTES_KEPT: usize = 256;

/// Rows from which on their filter is made beside their insertion, on a thread of its own; starting it takes as long as a few dozen.
pub const SQLITE_INDEX_BESIDE_ROWS_MIN: u64 = 512;

/// What the counts of a block cost a slice of a query, in rows.
pub const SQLITE_COUNTS_ROWS: u64 = 64;

/// The row of an origin says up to which id records may have it. It is raised by as much as the
/// origin has been in use, but by no more than this: so it is rewritten seldom, and an origin does
/// not stay for long after its last record.
pub const SQLITE_ORIGIN_LEASE_IDS: u64 = 1 << 18;

/// How long connecting to a PostgreSQL server may take, unless `connect_timeout` says otherwise.
pub const POSTGRES_CONNECT_SECONDS: u64 = 10;

/// A server that neither takes nor sends a byte for so long while it should is taken for gone. A transaction that waits for
/// its disk, or for a standby, gets through in less.
pub const POSTGRES_SILENCE_SECONDS_MAX: u64 = 30;

/// The same while tables are made or changed: PostgreSQL looks through the default partition before it attaches another.
pub const POSTGRES_DEFINITION_SECONDS_MAX: u64 = 120;

/// A change of tables is broken off by the server after this, before we would take the server for gone: what came of it is known
/// then, and it holds nobody up any more.
pub const POSTGRES_DEFINITION_STATEMENT_SECONDS_MAX: u64 = 60;

/// How long a change of tables waits for a lock: whoever reads or writes the table waits behind it meanwhile.
pub const POSTGRES_DEFINITION_LOCK_SECONDS_MAX: u64 = 1;

/// How long a statement waits for a lock. Those who wait hold up whoever comes after them, so it must not be long.
pub const POSTGRES_LOCK_SECONDS_MAX: u64 = 5;

/// The server ends our connection when a transaction hears nothing from us for so long: it may hold a lock that we wait for.
pub const POSTGRES_IDLE_TRANSACTION_SECONDS_MAX: u64 = 60;

/// Rows are sent in pieces of about this size. (A larger record is a larger piece.)
pub const POSTGRES_PIECE_BYTES: usize = 64 << 10;

/// Origins whose encoded columns are kept, and the longest that are.
pub const POSTGRES_ORIGINS_MAX: usize = 256;

/// See above.
pub const POSTGRES_ORIGIN_BYTES_MAX: usize = 1 << 10;

/// Days before today that get a partition of their own when a record of them comes: a year and a day.
pub const POSTGRES_PAST_DAYS_MAX: i32 = 366;

/// Partitions made for one chunk; its other days wait for their next chunk, and their rows go into the default partition.
pub const POSTGRES_NEW_DAYS_MAX: usize = 8;

/// Rows that a new partition takes over from the default one; a day with more stays there.
pub const POSTGRES_MOVED_ROWS_MAX: i64 = 100_000;

/// Ids that one slice of a search looks at in PostgreSQL, at first: each slice is a statement that is planned anew.
pub const POSTGRES_SLICE_IDS_MIN: u64 = 4096;

/// How many times as many the next slice looks at: what has no match is soon behind, and what is found within the time of a query is
/// told.
pub const POSTGRES_SLICE_GROWTH: u64 = 4;

/// Rows that one slice of a search gets from PostgreSQL; they come one by one.
pub const POSTGRES_SLICE_RECORDS_MAX: usize = 1000;

/// The same where all that is found is counted and nothing kept: a statement may go on for longer.
pub const POSTGRES_FOLD_RECORDS_MAX: usize = 100_000;

/// Records whose times say about when a node's first ones were: some seconds of the disorder that clocks and networks make.
pub const POSTGRES_FIRST_IDS: u64 = 1000;

/// Rows that a statement of `sql` gets from PostgreSQL at once.
pub const POSTGRES_FETCH_ROWS: usize = 1000;

/// A row that is read from PostgreSQL: the largest record several times over.
pub const POSTGRES_ROW_BYTES_MAX: u64 = 8 << 20;

/// Rows of the default partition that retention deletes at once.
pub const POSTGRES_DELETED_ROWS_MAX: i64 = 10_000;

/// Ids that retention of a service looks at at once: a day's partition is read by its index, and few of them may match.
pub const POSTGRES_EXPIRED_IDS: i64 = 10_000;

/// Ids that one row of `logs_deleted` accounts for.
pub const POSTGRES_DELETED_BLOCK_IDS: i64 = 4096;

/// A password file, or one of services: what is behind is not read.
pub const PASSFILE_BYTES_MAX: u64 = 1 << 20;

/// How long a store may take to tell its position before the server starts without it.
pub const STORE_START_SECONDS_MAX: u64 = 5;

/// The file in which a data folder remembers the stores that it has claimed: far more than the entries below take.
pub const CLAIMS_BYTES_MAX: u64 = 1 << 20;

/// Databases that a data folder remembers; the one claimed longest ago is forgotten first, and must then be adopted by hand.
pub const CLAIMED_DATABASES_MAX: usize = 64;

/// Claims that a data folder remembers of one database: an older state of the database (a backup, a standby) is recognised as this
/// folder's if its claim is one of them. A server that restarts daily goes back by eight months.
pub const CLAIMS_PER_DATABASE_MAX: usize = 256;

/// Ended claims that PostgreSQL keeps of each node, so that a data folder that lost its name can go on under another one.
pub const POSTGRES_ENDED_CLAIMS_MAX: i64 = 256;

/// Width and precision of one value in a line of a log file: what is wider is a slip of the keyboard.
pub const LINE_FORMAT_WIDTH_MAX: usize = 1000;

/// Lines are handed to the log file in pieces of about this size: large enough that the call costs nothing a line, small
/// enough to stay in the processor's cache.
pub const LOG_FILE_WRITE_BYTES: usize = 128 << 10;

/// So many bytes before the recorded end of a log file are checked before anything behind them is cut off.
pub const LOG_FILE_TAIL_BYTES: usize = 4 << 10;

// view

/// The text of one query. People write tens of bytes, programs that paste lists of ids write hundreds.
pub const QUERY_BYTES_MAX: usize = 4 << 10;

/// Terms of one query: each is tried on every record that the others leave. SQLite takes 1000 arguments of a
/// function and as many levels of an expression, so all of them fit into one.
pub const QUERY_TERMS_MAX: usize = 64;

/// Parentheses inside parentheses in one query. What walks the parsed tree recurses no deeper than three times this.
pub const QUERY_DEPTH_MAX: usize = 32;

/// A string among the attributes that is written in more bytes than this is found by its name alone: stack traces are long,
/// and nobody asks for one that is equal.
pub const TOKEN_VALUE_BYTES_MAX: usize = 1536;

/// Names of attributes whose hashes are kept from one record to the next, and how long they may be.
pub const TOKEN_NAMES_KEPT: usize = 32;
/// See above.
pub const TOKEN_NAME_BYTES_KEPT: usize = 64;

/// Words of one text in a query that are looked up in the index: each costs a page of it, and a few leave little.
pub const TOKENS_OF_PATTERN_MAX: usize = 16;

/// Rows that one slice of a query looks at, at first: more from slice to slice as long as they take little time.
pub const QUERY_SLICE_ROWS_MIN: u64 = 256;

/// The most that one slice of a query looks at.
pub const QUERY_SLICE_ROWS_MAX: u64 = 64 * SQLITE_BLOCK_ROWS;

/// What a slice of a query should take at most: others wait for their turn meanwhile.
pub const QUERY_SLICE_MILLISECONDS: u64 = 200;

/// The same with one thread for everything.
pub const QUERY_SLICE_INLINE_MILLISECONDS: u64 = 20;

/// Records that one transaction of a deletion deletes; the store takes new ones between any two.
pub const DELETE_SLICE_RECORDS: usize = 1000;

/// And about so much of them: it is written twice, and a write-ahead log of that size comes of it.
pub const DELETE_SLICE_BYTES: usize = 8 << 20;

/// Services that a deletion counts apart; the rest are counted together.
pub const DELETE_SERVICES_MAX: usize = 1000;

/// Dead letters that a deletion reads at once: each may be a largest record, escaped.
pub const DELETE_LETTERS: usize = 8;

/// The body of a deletion: a query, and little else.
pub const DELETE_BYTES_MAX: usize = 64 << 10;

/// How long a deletion looks for names that no record has any more: less than a command waits for an answer.
pub const DELETE_NAMES_SECONDS_MAX: u64 = 240;

/// Ids of names that it looks for at once, a bit each: 2 MiB. Where a database has more, all
/// records are looked at again for them.
pub const DELETE_NAMES_IDS: i64 = if cfg!(test) { 1 << 10 } else { 1 << 24 };

/// How often a store that fails is asked again before a deletion stops, with a second between.
pub const DELETE_TRIES_MAX: u32 = 5;

/// An answer that was made as a whole and is longer than this is sent in pieces, and takes part in the bounds of answers until it
/// is read. A shorter one fits into the buffers of a connection.
pub const ANSWER_SHORT_BYTES_MAX: usize = 16 << 10;

/// The pieces in which such an answer is made and sent: memory for it is taken and given back with each.
pub const ANSWER_PIECE_BYTES: usize = 64 << 10;

/// A slice of an answer is sent once it holds so much.
pub const QUERY_SLICE_BYTES: usize = 128 << 10;

/// Records of an answer that is one JSON document; streams (NDJSON) have no limit but time.
pub const QUERY_PAGE_RECORDS_MAX: u64 = 10_000;

/// Records before one, and after it, that are shown with it.
pub const CONTEXT_RECORDS_MAX: u64 = 1000;

/// Fields of one row of CSV.
pub const CSV_FIELDS_MAX: usize = 100;

/// Queries that take much memory and run at once; others wait: statements of `sql`, and histograms, lists of fields and the like, which
/// keep counts while they look at records. They leave room for the others of [`QUERIES_MAX`].
pub const QUERIES_HEAVY_MAX: usize = 2;

/// Texts that a histogram or the like keeps to count them, with what goes with each. (Counters of a histogram are apart.)
pub const COUNTED_BYTES_MAX: usize = 5 << 20;

/// A longer value is not told apart from others.
pub const COUNTED_VALUE_BYTES_MAX: usize = 1 << 10;

/// Different values that are told apart of one field.
pub const COUNTED_VALUES_MAX: usize = 10_000;

/// Fields that are told apart.
pub const COUNTED_FIELDS_MAX: usize = 1000;

/// Levels of attributes within attributes that are told apart: deeper, hardly anybody looks for one.
pub const COUNTED_LEVELS_MAX: usize = 8;

/// Values of one field in an answer.
pub const LISTED_VALUES_MAX: u64 = 1000;

/// Buckets of a histogram unless told otherwise: a bar every few millimetres of a screen.
pub const HISTOGRAM_BUCKETS_DEFAULT: u64 = 60;

/// Buckets of a histogram: a bar every few pixels.
pub const HISTOGRAM_BUCKETS_MAX: u64 = 500;

/// Values that a histogram tells apart while it counts: with so many times the most buckets, 4 MB of counters.
pub const HISTOGRAM_VALUES_MAX: usize = 1000;

/// Values that a histogram shows; the rest are one.
pub const HISTOGRAM_SERIES_MAX: usize = 9;

/// Groups of errors that are told apart, and listed.
pub const ERROR_GROUPS_MAX: usize = 1000;

/// What is shown of the message of an error.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Buckets of the small histogram of an error.
pub const ERROR_BUCKETS_MAX: u64 = 24;

/// Queries that run at once; others wait.
pub const QUERIES_MAX: usize = 4;

/// Threads for queries, beside those of the spool and the stores. They exist all the time.
pub const BLOCKING_THREADS_MAX: usize = QUERIES_MAX;

/// Bytes of an answer that is one JSON document.
pub const PAGE_BYTES_MAX: usize = 8 << 20;

/// What a tail takes for as long as it is open: its mailbox, and what is on its way to the client. (The last records that it may begin
/// with are sent at once.)
pub const TAIL_MEMORY_KIB: usize = 256;

/// What an answer takes for as long as it is open: two pieces of it, and a connection to the database.
pub const ANSWER_MEMORY_KIB: usize = 320;

/// What a slice of a query takes while it runs: a page cache, and what it makes.
pub const QUERY_MEMORY_KIB: usize = 2 << 10;

/// What a statement of `sql` takes while it runs, with [`SQL_MEMORY_BYTES_MAX`]; and what counts, with [`COUNTED_BYTES_MAX`].
pub const QUERY_HEAVY_MEMORY_KIB: usize = 8 << 10;

/// The memory for everything that is read back: tails, answers and queries. Each kind has a bound in number, and each of a kind one in
/// bytes; this is the sum. With what ingestion and a store take under full load it makes 64 MB, for not all of it is in use at once.
pub const READING_MEMORY_KIB_MAX: usize = TAILS_MAX * TAIL_MEMORY_KIB
    + ANSWERS_MAX * ANSWER_MEMORY_KIB
    + QUERIES_HEAVY_MAX * QUERY_HEAVY_MEMORY_KIB
    + (QUERIES_MAX - QUERIES_HEAVY_MAX) * QUERY_MEMORY_KIB
    + SQL_ANSWERS_KIB_MAX;

/// Answers of `sql` that are made or read, all together, in KiB: the largest of them fits.
pub const SQL_ANSWERS_KIB_MAX: usize = (PAGE_BYTES_MAX >> 10) + 512;

/// What SQLite may allocate for one statement of `sql`, whatever its text: a few of the longest values, a page cache, and the
/// beginning of a sort, the rest of which goes into temporary files.
pub const SQL_MEMORY_BYTES_MAX: i64 = 7 << 20;

/// The page cache of a statement of `sql`, and of each temporary table of it.
pub const SQL_CACHE_KIB_MAX: u64 = 512;

/// Statements of `sql` whose memory is accounted for at once; more than run.
pub const SQL_ACCOUNTS_MAX: usize = 4 * QUERIES_MAX;

/// Temporary files of one statement of `sql`: a sort of some millions of records.
pub const SQL_TEMPORARY_BYTES_MAX: i64 = 512 << 20;

/// Temporary files of all of them.
pub const SQL_TEMPORARY_TOTAL_BYTES_MAX: i64 = 1 << 30;

/// What temporary files leave free on their disk, on which the spool and the store may be too: they need it for what comes next.
pub const SQL_TEMPORARY_FREE_BYTES_MIN: u64 = 256 << 20;

/// A statement of `sql` looks at the clock after this many bytes of memory or temporary files: a function that makes this many takes some
/// ten microseconds.
pub const SQL_CLOCK_BYTES: i64 = 64 << 10;

/// Steps of SQLite's machine after which a statement of `sql` looks at the clock; it does so only where the machine jumps.
pub const SQL_CLOCK_STEPS: i32 = 100;

/// The longest value or row that a statement of `sql` may read or make: twice the largest record.
pub const SQL_VALUE_BYTES_MAX: i32 = 2 * RECORD_BYTES_MAX as i32;

/// The same when one thread does everything: the largest record.
pub const SQL_INLINE_VALUE_BYTES_MAX: i32 = RECORD_BYTES_MAX as i32 + RECORD_OVERHEAD_BYTES_MAX as i32;

/// Columns of a row that a statement of `sql` makes: each may be a longest value. The view `logs` has fewer than 32.
pub const SQL_COLUMNS_MAX: i32 = 64;

/// The longest pattern of LIKE and GLOB in `sql`, in bytes.
pub const SQL_PATTERN_BYTES_MAX: usize = 256;

/// Different characters that `trim` removes in `sql`.
pub const SQL_TRIMMED_CHARACTERS_MAX: usize = 1000;

/// Arguments of a function in `sql`: functions of JSON take some time for each.
pub const SQL_FUNCTION_ARGUMENTS_MAX: i32 = 100;

/// The same when one thread does everything.
pub const SQL_INLINE_FUNCTION_ARGUMENTS_MAX: i32 = 16;

/// Levels of an expression in `sql`; SQLite recurses over them.
pub const SQL_DEPTH_MAX: i32 = 200;

/// Selects that UNION and the like join in `sql`.
pub const SQL_COMPOUND_MAX: i32 = 64;

/// Steps of the program that a statement of `sql` becomes: a list of 10,000 ids fits.
pub const SQL_OPERATIONS_MAX: i32 = 250_000;

/// Steps of it that look at whole values and may stand side by side, where no clock is looked at: each takes up to 4 ms for a longest
/// value. The view `logs` needs some 60.
pub const SQL_LONG_OPERATIONS_MAX: usize = 4000;

/// The same when one thread does everything: each takes up to 2 ms.
pub const SQL_INLINE_LONG_OPERATIONS_MAX: usize = 400;

/// The longest that a statement of `sql` runs when one thread does everything, for nothing else goes on meanwhile.
pub const SQL_INLINE_MILLISECONDS_MAX: u64 = 250;

/// The body of a `sql` request.
pub const SQL_BYTES_MAX: usize = 64 << 10;

/// How long a flush waits for the stores.
pub const FLUSH_SECONDS_MAX: u64 = 30;

/// The words of a problem in a label of a metric: a server may say as much as it likes.
pub const METRIC_PROBLEM_CHARS_MAX: usize = 500;

/// Answers to queries that are open at once, however slowly they are read; each holds a few slices.
pub const ANSWERS_MAX: usize = 32;

/// Tails at once: each may hold a few buffers, and its query is asked about every record.
pub const TAILS_MAX: usize = 32;

/// A tail that has so much to send takes no more before its client reads: it waits at its place in the spool.
pub const TAIL_BUFFER_BYTES: usize = 32 << 10;

/// So much of the spool is read for tails at once. (A larger commit is read whole.)
pub const TAIL_READ_BYTES: usize = 256 << 10;

/// After so many bytes of records what was found is handed over, and others get their turn.
pub const TAIL_PIECE_BYTES: usize = 16 << 10;

/// Pause between two looks at records that come without a pause: it keeps what is sent from going in very small parts.
pub const TAIL_GATHER_MILLISECONDS: u64 = 10;

/// The most records that a tail begins with, what they may take together, and how many of the latest are looked at.
pub const TAIL_LAST_RECORDS_MAX: u64 = 10_000;

/// See above.
pub const TAIL_LAST_BYTES_MAX: usize = 1 << 20;

/// See above.
pub const TAIL_LAST_SCANNED_MAX: u64 = 1 << 17;

/// How often a tail says that it is still there.
pub const TAIL_HEARTBEAT_SECONDS: u64 = 15;

/// A client that has taken nothing for so long, though there was something to send, loses its connection.
pub const TAIL_STALL_SECONDS_MAX: u64 = 30;

/// How long after the end of its time the answer to a query may still be read. Then its connection is closed.
pub const ANSWER_READ_SECONDS_MAX: u64 = 10;

// config

/// A configuration file: what is larger is some other file.
pub const CONFIGURATION_BYTES_MAX: u64 = 1 << 20;

/// The longest duration that an option takes, 100 years: it can be added to any time of today without overflow.
pub const DURATION_SECONDS_MAX: u64 = 36_500 * 86_400;

/// Network threads: beyond the cores of the largest machines, more only cost memory.
pub const THREADS_MAX: usize = 1024;

/// The path of a Unix socket: `sun_path` of Linux has 108 bytes with the closing NUL.
pub const UNIX_PATH_BYTES_MAX: usize = 107;

/// A store's name: it stands in every metric of the store.
pub const STORE_NAME_BYTES_MAX: usize = 64;

// cli

/// One line that a reading command takes from a server: the largest record, were every byte escaped as `\\u0000`.
pub const ANSWER_LINE_BYTES_MAX: u64 = 8 * RECORD_BYTES_MAX as u64;

/// What a reading command holds of one answer, where it needs the whole: an SQL table, or records to turn round.
pub const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// A server's explanation of an error.
pub const PROBLEM_BYTES_MAX: u64 = 64 << 10;

/// How long a reading command waits for a connection: any server that is up takes it within.
pub const CONNECT_SECONDS_MAX: u64 = 5;

/// How long a reading command waits for the server to begin or go on with an answer: longer than any query may run
/// unless `query_seconds_max` was raised much.
pub const ANSWER_SECONDS_MAX: u64 = 300;

/// A tail that has heard nothing for so long takes its connection for lost: two heartbeats are missing, and some.
pub const TAIL_SILENCE_SECONDS_MAX: u64 = 3 * TAIL_HEARTBEAT_SECONDS;

/// A tail that lost its connection tries again after this, then after twice as long, and so on.
pub const TAIL_RETRY_MILLISECONDS_MIN: u64 = 250;

/// And at least this often.
pub const TAIL_RETRY_MILLISECONDS_MAX: u64 = 5000;

/// What an import sends at once: the records of it make one batch, which is stored whole or not at all.
pub const IMPORT_BATCH_BYTES: usize = 384 << 10;

/// And so many of them, however short: with what is kept of each they make one batch.
pub const IMPORT_BATCH_RECORDS: usize = 1500;

/// How long an import asks a server again that takes nothing.
pub const IMPORT_WAIT_SECONDS_MAX: u64 = 300;

/// Pages of a database that a backup copies in one step.
pub const BACKUP_STEP_PAGES: i32 = 1024;

/// How long a backup waits for a database that does not come nearer to what the spool has.
pub const BACKUP_SPOOL_SECONDS_MAX: u64 = 5;

/// How long a backup waits for another process at a time.
pub const BACKUP_WAIT_MILLISECONDS: u64 = 100;

/// A file is copied in pieces of this size.
pub const COPY_PIECE_BYTES: usize = 1 << 20;

// open files

/// Open files of each store: database, log and index, log file, position, folder, and what is open for a moment.
pub const DESCRIPTORS_PER_STORE: usize = 16;

/// Open files of each answer that is being read: database, log, and a file for what does not fit into memory.
pub const DESCRIPTORS_PER_ANSWER: usize = 3;

/// Open files of each listener: its socket, and a connection that is being refused.
pub const DESCRIPTORS_PER_LISTENER: usize = 2;

/// Open files of the rest: standard streams, the runtime, the lock, signals, quarantine, what a library opens.
pub const DESCRIPTORS_SPARE: usize = 64;

/// The least that connections and segments share: eight of each.
pub const DESCRIPTORS_SHARED_MIN: usize = 16;

// What must hold between them.

const _: () = assert!(BATCH_BYTES_MAX as u64 + 1024 <= SPOOL_SEGMENT_BYTES_MIN);
const _: () = assert!(ATTRIBUTES_BYTES_MAX < RECORD_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_TARGET <= BATCH_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX < COMMIT_BYTES_MAX);
const _: () = assert!(TAIL_STALL_SECONDS_MAX < HTTP_WRITE_STALL_SECONDS_MAX);
const _: () =
    assert!(SQL_BYTES_MAX as u64 <= BODY_SMALL_BYTES_MAX && DELETE_BYTES_MAX as u64 <= BODY_SMALL_BYTES_MAX);
const _: () = assert!(IMPORT_BATCH_BYTES + IMPORT_BATCH_RECORDS * 72 <= BATCH_BYTES_TARGET);
const _: () = assert!(SQL_MEMORY_BYTES_MAX as usize + (512 << 10) < QUERY_HEAVY_MEMORY_KIB << 10);
const _: () = assert!(COUNTED_BYTES_MAX + (QUERY_MEMORY_KIB << 10) < QUERY_HEAVY_MEMORY_KIB << 10);
const _: () = assert!(READING_MEMORY_KIB_MAX <= 48 << 10);
