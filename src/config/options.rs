//! Every option, declared once. Flags, variables, keys of the file, `--help` and
//! `docs/configuration.md` are generated from these declarations.

use std::path::PathBuf;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::listen::{LISTENER, Listener};
use super::log::{LOG_FORMAT_SHAPE, LOG_LEVEL_SHAPE, LogFormat};
use super::setting::{About, Section, Setting, settings};
use super::shape::{
    COUNT, COUNT_OR_ZERO, DURATION, MEMORY_SIZE, OPTIONAL_COUNT, OPTIONAL_DURATION, OPTIONAL_PATH,
    OPTIONAL_SIZE, PATH, SECONDS, SIZE, SWITCH, TEXT,
};
use super::spool::{WHEN_FULL_SHAPE, WhenFull};
use super::store_url::{ONE_STORE_URL, OPTIONAL_NODE, SERVICE_RETENTION, STORE_NAME, STORE_URL, StoreUrl};
use crate::store::ServiceRetention;

/// Returns every option that is a flag, a variable and a key at the top of the file.
pub(super) fn global() -> impl Iterator<Item = &'static About> {
    ALL.iter().copied().filter(|about| about.is_global())
}

settings! {
    /// The folder of the spool and of the default database. It is created if it is missing.
    DATA_DIR: PathBuf = Program, "data_dir", PATH, "./logboom-data";
    /// The number of network threads. 0 means one per core; 1 runs the whole program on one thread,
    /// including disk and database.
    THREADS: usize = Program, "threads", COUNT_OR_ZERO, "0";
    /// How long a stop may take. In this time the server still accepts what clients have already
    /// sent, and ships it. Records that are not shipped by then stay in the spool until the next
    /// start.
    SHUTDOWN_SECONDS_MAX: u64 = Program, "shutdown_seconds_max", SECONDS, "10";
    /// The lowest level of the program's own messages on stderr.
    LOG_LEVEL: LevelFilter = Program, "log_level", LOG_LEVEL_SHAPE, "info";
    /// The format of the program's own messages on stderr.
    LOG_FORMAT: LogFormat = Program, "log_format", LOG_FORMAT_SHAPE, "text";

    /// The listeners that receive records: `python` (Python's SocketHandler), `python-udp`
    /// (DatagramHandler) or `http` (records in; queries and metrics out). Labels after the address
    /// are added to every record that the listener receives; `service` and `host` set those fields,
    /// other labels become attributes. A list in the configuration replaces the default list.
    LISTEN: Listener = Ingest, "listen", LISTENER,
        "python=127.0.0.1:9020 python-udp=127.0.0.1:9021 http=127.0.0.1:9022";
    /// The largest frame of a Python client. A larger frame is skipped and recorded as a dead
    /// letter. Must be below 16 MiB, because then the first byte of a frame distinguishes it from
    /// every other protocol.
    FRAME_BYTES_MAX: usize = Ingest, "frame_bytes_max", MEMORY_SIZE, "4MiB";
    /// How long a frame that has begun, or an HTTP request, may take to arrive. Idle connections
    /// are never closed.
    FRAME_SECONDS_MAX: u64 = Ingest, "frame_seconds_max", SECONDS, "30";
    /// The largest HTTP body, after decompression.
    BODY_BYTES_MAX: usize = Ingest, "body_bytes_max", MEMORY_SIZE, "64MiB";
    /// The largest compressed HTTP body, before decompression.
    BODY_COMPRESSED_BYTES_MAX: usize = Ingest, "body_compressed_bytes_max", MEMORY_SIZE, "16MiB";
    /// The number of connections open at once, over all listeners. Further connections wait until
    /// others end.
    CONNECTIONS_MAX: usize = Ingest, "connections_max", COUNT, "20000";

    /// The largest size of the spool on disk.
    SPOOL_BYTES_MAX: u64 = Spool, "spool_bytes_max", SIZE, "4GiB";
    /// The size of one file of the spool. Disk space is released one file at a time.
    SPOOL_SEGMENT_BYTES: u64 = Spool, "spool_segment_bytes", SIZE, "16MiB";
    /// What happens while the spool is full to clients whose protocol has no way to refuse records
    /// (Python's handlers): `shed` keeps reading, and drops and counts the records; `block` stops
    /// reading. HTTP clients receive an error and retry later in either case.
    WHEN_FULL: WhenFull = Spool, "when_full", WHEN_FULL_SHAPE, "shed";

    /// Where records are stored: `sqlite` (logboom.db in the data folder), `sqlite:PATH`,
    /// `postgres://...` (libpq's form; `PGHOST`, `PGPASSWORD`, `~/.pgpass` and so on apply to what
    /// the URL leaves out), or `file:PATH` (lines of text, which cannot be queried). In the file,
    /// either these texts or `[[store]]` tables; flags and variables replace both.
    STORE: StoreUrl = Store, "store", STORE_URL, "sqlite";
    /// Also writes all records to a text file: a short form of one more store `file:PATH`.
    LOG_FILE: Option<PathBuf> = Store, "log_file", OPTIONAL_PATH, "none";

    /// The most records that a store writes in one transaction.
    FLUSH_ROWS: usize = EachStore, "flush_rows", COUNT, "16384";
    /// The most bytes of records that a store writes in one transaction.
    FLUSH_BYTES: usize = EachStore, "flush_bytes", MEMORY_SIZE, "4MiB";
    /// How long a store waits for more records before it writes those that are waiting.
    FLUSH_INTERVAL: Duration = EachStore, "flush_interval", DURATION, "200ms";
    /// Databases only: records that were received longer ago than this are deleted. PostgreSQL:
    /// whole days that ended longer ago, by the times of the records.
    RETENTION_AGE: Option<Duration> = EachStore, "retention_age", OPTIONAL_DURATION, "none";
    /// Databases only: the oldest records are deleted while the database is larger than this.
    RETENTION_BYTES: Option<u64> = EachStore, "retention_bytes", OPTIONAL_SIZE, "none";
    /// Databases only: records of these services are deleted earlier than others, when they are
    /// older than this; the age counts as for `retention_age`. `=3d` stands for records without a
    /// service. In the file also as tables: `[[retention]]` with `service` and `age`.
    RETENTION: ServiceRetention = EachStore, "retention", SERVICE_RETENTION, "none";
    /// PostgreSQL only: the name of this instance in the column `node` and in the table of
    /// positions. No two instances may have the same name. With `none`, a random name that is kept
    /// in the data folder.
    NODE: Option<String> = EachStore, "node", OPTIONAL_NODE, "none";
    /// Files only: the format of a line, in the form of Python's logging.Formatter.
    LINE_FORMAT: String = EachStore, "line_format", TEXT,
        "%(levelname)1.1s %(asctime)s %(name)s:%(lineno)3s %(message)s";
    /// Files only: a new file begins when the current one has reached this size.
    ROTATE_BYTES: Option<u64> = EachStore, "rotate_bytes", OPTIONAL_SIZE, "none";
    /// Files only: a new file begins with the first record of each day, in local time.
    ROTATE_DAILY: bool = EachStore, "rotate_daily", SWITCH, "false";
    /// Files only: the number of older files to keep. With `none`, all of them.
    ROTATE_KEEP: Option<u32> = EachStore, "rotate_keep", OPTIONAL_COUNT, "none";

    /// Where this store writes its records, as in `store`.
    URL: StoreUrl = StoreTable, "url", ONE_STORE_URL, "";
    /// The name of this store in metrics and messages. Default: `sqlite`, `file`, then `file-2` and
    /// so on.
    NAME: String = StoreTable, "name", STORE_NAME, "";

    /// The longest time that one query may run.
    QUERY_SECONDS_MAX: u64 = View, "query_seconds_max", SECONDS, "30";
    /// The most rows in the response to one SQL query. Further rows are left out, and the response
    /// has `"truncated":true`.
    QUERY_ROWS_MAX: usize = View, "query_rows_max", COUNT, "100000";
    /// Whether `logboom delete` and `POST /api/v1/delete` may delete records. Only clients on this
    /// machine can do so in any case. Switch it off where records are evidence.
    DELETE: bool = View, "delete", SWITCH, "true";
}
