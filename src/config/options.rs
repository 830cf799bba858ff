//! Every option, declared once. Flags, variables, keys of the file, `--help` and
//! `docs/configuration.md` are generated from these declarations.

use std::path::PathBuf;
use std::time::Duration;

use super::listen::{LISTENER, Listener};
use super::log::{LOG_FORMAT_SHAPE, LOG_LEVEL_SHAPE, LogFormat, LogLevel};
use super::setting::{About, Section, Setting, settings};
use super::shape::{
    COUNT, COUNT_OR_ZERO, DURATION, MEMORY_SIZE, OPTIONAL_COUNT, OPTIONAL_DURATION, OPTIONAL_PATH,
    OPTIONAL_SIZE, PATH, SECONDS, SIZE, SWITCH, TEXT,
};
use super::spool::{WHEN_FULL_SHAPE, WhenFull};
use super::store::{OPTIONAL_NODE, SERVICE_RETENTION, STORE_NAME, STORE_URL, StoreUrl};
use crate::store::ServiceRetention;

settings! {
    /// The folder of the spool and of the default database. It is created if it is missing.
    DATA_DIR: PathBuf = Program, "data_dir", PATH, "./logboom-data";
    /// Network threads: 0 means as many as there are cores; 1 runs the whole program on one thread, disk and database
    /// included.
    THREADS: usize = Program, "threads", COUNT_OR_ZERO, "0";
    /// How long to go on taking what clients have already sent, and shipping it, when told to stop. What is not
    /// shipped by then stays in the spool until the next start.
    SHUTDOWN_SECONDS_MAX: u64 = Program, "shutdown_seconds_max", SECONDS, "10";
    /// How much the program tells about itself, on stderr.
    LOG_LEVEL: LogLevel = Program, "log_level", LOG_LEVEL_SHAPE, "info";
    /// How the program's own messages on stderr are written.
    LOG_FORMAT: LogFormat = Program, "log_format", LOG_FORMAT_SHAPE, "text";

    /// Where to receive records, and from whom: `python` (Python's SocketHandler), `python-udp` (DatagramHandler) or
    /// `http` (records in; queries and metrics out). Labels after the address are given to every record that comes
    /// in there; `service` and `host` fill those fields, others become attributes. Given at all, the list replaces
    /// the default.
    LISTEN: Listener = Ingest, "listen", LISTENER,
        "python=127.0.0.1:9020 python-udp=127.0.0.1:9021 http=127.0.0.1:9022";
    /// The largest frame of a Python client. A larger one is skipped, and told of by a dead letter. Must stay below
    /// 16 MiB, because then the first byte of a frame tells it from every other protocol.
    FRAME_BYTES_MAX: usize = Ingest, "frame_bytes_max", MEMORY_SIZE, "4MiB";
    /// How long a frame, once begun, or an HTTP request may take to arrive. Idle connections are never closed.
    FRAME_SECONDS_MAX: u64 = Ingest, "frame_seconds_max", SECONDS, "30";
    /// The largest HTTP body, after decompression.
    BODY_BYTES_MAX: usize = Ingest, "body_bytes_max", MEMORY_SIZE, "64MiB";
    /// The largest compressed HTTP body, before decompression.
    BODY_COMPRESSED_BYTES_MAX: usize = Ingest, "body_compressed_bytes_max", MEMORY_SIZE, "16MiB";
    /// Connections open at once, over all listeners. Further ones wait until others end.
    CONNECTIONS_MAX: usize = Ingest, "connections_max", COUNT, "20000";

    /// The most that the spool may take on disk.
    SPOOL_BYTES_MAX: u64 = Spool, "spool_bytes_max", SIZE, "4GiB";
    /// The size of one file of the spool. Disk space is given back a file at a time.
    SPOOL_SEGMENT_BYTES: u64 = Spool, "spool_segment_bytes", SIZE, "16MiB";
    /// What happens to clients that cannot be told to wait (Python's handlers) while the spool is full: `shed` reads
    /// on and counts what it drops, `block` stops reading. HTTP clients are always told to come back later.
    WHEN_FULL: WhenFull = Spool, "when_full", WHEN_FULL_SHAPE, "shed";

    /// Where records are kept: `sqlite` (logboom.db in the data folder), `sqlite:PATH`, `postgres://...` (as libpq
    /// takes it, with `PGHOST`, `PGPASSWORD`, `~/.pgpass` and so on for what it leaves open), or `file:PATH` (lines of
    /// text, which cannot be queried). In the file either such texts, or `[[store]]` tables; flags and variables
    /// replace both.
    STORE: StoreUrl = Store, "store", STORE_URL, "sqlite";
    /// Keeps a text file of all records beside the other stores: short for one more `file:PATH`.
    LOG_FILE: Option<PathBuf> = Store, "log_file", OPTIONAL_PATH, "none";

    /// A store takes at most so many records in one transaction.
    FLUSH_ROWS: usize = EachStore, "flush_rows", COUNT, "16384";
    /// A store takes at most so many bytes of records in one transaction.
    FLUSH_BYTES: usize = EachStore, "flush_bytes", MEMORY_SIZE, "4MiB";
    /// How long a store waits for more records before it writes those that it has.
    FLUSH_INTERVAL: Duration = EachStore, "flush_interval", DURATION, "200ms";
    /// Databases only: records received longer ago than this are deleted. PostgreSQL: whole days that ended longer ago,
    /// by the records' own times.
    RETENTION_AGE: Option<Duration> = EachStore, "retention_age", OPTIONAL_DURATION, "none";
    /// Databases only: the oldest records are deleted while the database is larger than this.
    RETENTION_BYTES: Option<u64> = EachStore, "retention_bytes", OPTIONAL_SIZE, "none";
    /// Databases only: records of these services are deleted earlier than the others, once they are older than this; age counts
    /// as for `retention_age`. `=3d` stands for records without a service. In the file also as tables:
    /// `[[retention]]` with `service` and `age`.
    RETENTION: ServiceRetention = EachStore, "retention", SERVICE_RETENTION, "none";
    /// PostgreSQL only: what this instance is called in the column `node`, and where its position is kept. No two may have
    /// one name. With `none`, a random name that is kept in the data folder.
    NODE: Option<String> = EachStore, "node", OPTIONAL_NODE, "none";
    /// Files only: the format of a line, as Python's logging.Formatter takes it.
    LINE_FORMAT: String = EachStore, "line_format", TEXT,
        "%(levelname)1.1s %(asctime)s %(name)s:%(lineno)3s %(message)s";
    /// Files only: begin a new file when this one has reached so many bytes.
    ROTATE_BYTES: Option<u64> = EachStore, "rotate_bytes", OPTIONAL_SIZE, "none";
    /// Files only: begin a new file with the first record of each day, in local time.
    ROTATE_DAILY: bool = EachStore, "rotate_daily", SWITCH, "false";
    /// Files only: how many older files to keep. With `none`, all of them.
    ROTATE_KEEP: Option<u32> = EachStore, "rotate_keep", OPTIONAL_COUNT, "none";

    /// Where this store keeps its records, as in `store`.
    URL: StoreUrl = StoreTable, "url", STORE_URL, "";
    /// What this store is called in metrics and messages. If it is left out: `sqlite`, `file`, then `file-2` and so on.
    NAME: String = StoreTable, "name", STORE_NAME, "";

    /// How long one query may run.
    QUERY_SECONDS_MAX: u64 = View, "query_seconds_max", SECONDS, "30";
    /// How many rows one SQL query may answer. The rest is cut, and the answer says so.
    QUERY_ROWS_MAX: usize = View, "query_rows_max", COUNT, "100000";
    /// Whether `logboom delete` and `POST /api/v1/delete` may delete records; in any case only clients on this machine can.
    /// Switch it off where records are evidence.
    DELETE: bool = View, "delete", SWITCH, "true";
}
