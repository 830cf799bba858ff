//! The reasons why an operation on a server failed, in words, and what to do about them.

use std::fmt::Display;
use std::io;
use std::time::Duration;

use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{Client, Error};

use super::endpoint::ServerAddress;
use crate::record::RecordId;
use crate::store::StoreError;
use crate::store::postgres::copy;

/// The reason why an operation on the server failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// There is no connection.
    Unreachable(String),
    /// None of several servers is usable.
    Nowhere(Vec<(ServerAddress, Fault)>),
    /// The files for TLS cannot be used.
    Certificates(String),
    /// The server is a standby, which only follows another server.
    Standby,
    /// No byte was sent or received for this long.
    Silent(Duration),
    /// A refusal, or a broken connection.
    Database(Error),
    /// The tables are not logboom's, or of a version that this program does not support.
    Schema(String),
    /// The position is not where this process left it.
    Moved(RecordId),
    /// The node does not belong to this data folder, or its position cannot be trusted.
    Refused(StoreError),
    /// Rows do not arrive in a table, or are not visible. `by` names the possible cause, if it is
    /// known.
    KeptOut { what: String, by: String },
    /// The spool and the database do not match.
    Gap { position: RecordId, first_id: RecordId },
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Database(error)
    }
}

impl Fault {
    pub(super) fn unreachable(server: &ServerAddress, error: &io::Error) -> Fault {
        Fault::Unreachable(format!("no connection to {server}: {error}"))
    }

    /// Returns true if the other choice of encryption may succeed, because the server or its rules
    /// require it.
    pub(super) fn is_about_encryption(&self) -> bool {
        match self {
            Fault::Database(error) => match error.code() {
                // no matching line in pg_hba.conf
                Some(code) => *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                None => error.to_string().contains("TLS"),
            },
            _ => false,
        }
    }

    /// Returns the server's refusal of a statement, if this is one.
    fn refusal(&self) -> Option<&DbError> {
        match self {
            Fault::Database(error) => error.as_db_error(),
            _ => None,
        }
    }

    /// Returns the SQLSTATE, if the server sent one.
    pub(crate) fn code(&self) -> Option<&SqlState> {
        self.refusal().map(DbError::code)
    }

    /// Returns true if the server refuses a row because of its content, and not because of the
    /// state that the server is in.
    ///
    /// These are the classes 22 (data), 23 (constraints) and 54 (too large or too deep for a type
    /// or an index), and the errors that a trigger raises: of class P0, or with a user-defined
    /// code.
    pub(crate) fn is_about_a_row(&self) -> bool {
        self.code().is_some_and(|code| {
            let class = code.code().get(..2).unwrap_or_default();
            matches!(class, "22" | "23" | "54" | "P0") || is_own_class(class)
        }) && !self.is_about_an_added_column()
            || self.is_about_an_escape()
    }

    /// Returns true if a JSON escape stands for a character that the database cannot store. This
    /// happens in a database without an encoding (SQL_ASCII), and PostgreSQL 14 and 15 report it
    /// with an unusual code.
    fn is_about_an_escape(&self) -> bool {
        self.refusal().is_some_and(|refusal| {
            *refusal.code() == SqlState::FEATURE_NOT_SUPPORTED
                && refusal.routine() == Some("pg_unicode_to_server")
        })
    }

    /// Returns true if the server refuses to create a partition, and would do so again, but may
    /// still accept rows. This excludes temporary causes (a deadlock, a lock) and causes that
    /// affect writing too.
    pub(crate) fn is_final_for_a_partition(&self) -> bool {
        let Some(code) = self.code() else { return false };
        let class = code.code().get(..2).unwrap_or_default();
        let is_passing = matches!(class, "25" | "3F" | "40")
            || [SqlState::LOCK_NOT_AVAILABLE, SqlState::UNDEFINED_TABLE].contains(code);
        *code == SqlState::QUERY_CANCELED || self.is_refusal() && !is_passing
    }

    /// Returns true if the server refuses the statement because of its content, and not because of
    /// the state of the server or of the connection.
    pub(crate) fn is_refusal(&self) -> bool {
        let class = self.code().map(|code| code.code().get(..2).unwrap_or_default());
        class.is_some_and(|class| !matches!(class, "08" | "53" | "57" | "58" | "XX"))
    }

    /// Returns true if a column that was added to `logs` is the cause: it would be NULL in every
    /// row, but must not be NULL.
    fn is_about_an_added_column(&self) -> bool {
        self.refusal().is_some_and(|refusal| {
            *refusal.code() == SqlState::NOT_NULL_VIOLATION
                && refusal.table().is_some_and(|table| table.starts_with("logs"))
                && refusal.column().is_some_and(|column| !copy::is_ours(column))
        })
    }

    /// Returns true if row-level security refuses the statement. The server's messages may be in
    /// any language, but the routines have one name.
    fn is_about_row_security(&self) -> bool {
        self.refusal().is_some_and(|refusal| match refusal.routine() {
            Some("check_enable_rls" | "ExecWithCheckOptions") => {
                *refusal.code() == SqlState::INSUFFICIENT_PRIVILEGE
            }
            Some("DoCopy") => *refusal.code() == SqlState::FEATURE_NOT_SUPPORTED,
            _ => false,
        })
    }

    /// Returns the server's message, as the reason of a dead letter.
    pub(crate) fn reason(&self) -> String {
        let Some(refusal) = self.refusal() else { return self.what() };
        format!("{}: {}", refusal.code().code(), with_detail(refusal)).replace('\0', "\u{fffd}")
    }

    /// Returns the error of a database that does not do what it should: the action `does_not`.
    pub(crate) fn explain(&self, database: &impl Display, does_not: &str) -> StoreError {
        if let Fault::Refused(refusal) = self {
            return refusal.clone().about(format!("the database {database}"));
        }
        let what = format!("the database {database} does not {does_not}: {}", self.what());
        StoreError { hint: self.hint().map(str::to_owned), ..StoreError::new(what) }
    }

    fn what(&self) -> String {
        match self {
            Fault::Unreachable(what) | Fault::Certificates(what) | Fault::Schema(what) => what.clone(),
            Fault::Nowhere(faults) => {
                let describe = |(server, fault): &(ServerAddress, Fault)| match fault {
                    Fault::Unreachable(what) => what.clone(),
                    fault => format!("{server}: {}", fault.what()),
                };
                faults.iter().map(describe).collect::<Vec<_>>().join("; ")
            }
            Fault::Standby => "the server is a standby, which can only be read".into(),
            Fault::Silent(time) => format!("the server has been silent for {} s", time.as_secs()),
            Fault::Database(error) => describe(error),
            Fault::Moved(position) => {
                format!("its position of this node is no longer {position}: another client has changed it")
            }
            Fault::Refused(refusal) => refusal.what.clone(),
            Fault::KeptOut { what, by } if by.is_empty() => what.clone(),
            Fault::KeptOut { what, by } => format!("{what}: blocked by {by}"),
            Fault::Gap { position, first_id } => {
                format!("its position is {position}, but it received records from id {first_id} on")
            }
        }
    }

    /// Returns what a person can do about the fault.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Fault::Unreachable(_) => {
                "check that the server runs, and check host and port; logboom retries by itself"
            }
            // A standby is not at fault if there are other servers.
            Fault::Nowhere(faults) => match faults.iter().find(|(_, fault)| !matches!(fault, Fault::Standby))
            {
                Some((_, fault)) => fault.hint()?,
                None => "one of them must become the primary; logboom retries by itself",
            },
            Fault::Certificates(_) => "see sslmode, sslrootcert, sslcert and sslkey in the URL",
            Fault::Standby => "name the primary, or both servers: postgres://one,other/database",
            Fault::Silent(_) => {
                "the server hangs, or the network drops what is sent; logboom retries by itself"
            }
            Fault::Moved(_) => "logboom reads the position again",
            Fault::KeptOut { .. } => {
                "a BEFORE trigger must return NEW, no rule may replace a statement, and row-level security must not apply to this \
                 role (NO FORCE ROW LEVEL SECURITY, or BYPASSRLS): change what was added; logboom retries by itself"
            }
            Fault::Schema(_) => {
                "run the version of logboom that made or migrated the tables last, or a newer one"
            }
            Fault::Refused(_) | Fault::Gap { .. } => return None,
            Fault::Database(_) if self.is_about_an_added_column() => {
                "give the column that was added to `logs` a default; logboom retries by itself"
            }
            Fault::Database(_) if self.is_about_row_security() => {
                "row-level security applies to this role: ALTER TABLE .. NO FORCE ROW LEVEL SECURITY if the role owns the table, \
                 else ALTER ROLE .. BYPASSRLS; logboom retries by itself"
            }
            Fault::Database(error) => match error.code() {
                Some(&SqlState::UNDEFINED_TABLE) if describe(error).contains("\"logs_node\"") => {
                    "the positions are lost: docs/postgresql.md, \"logs_node is lost\", describes how to restore \
                     them from the records"
                }
                Some(code) => hint_for(code),
                None if describe(error).contains("password missing") => {
                    "the server requires a password: set it in PGPASSWORD, ~/.pgpass, or the URL"
                }
                None if describe(error).contains("does not support TLS") => {
                    "sslmode requires TLS: enable TLS on the server, or choose a lower sslmode"
                }
                None if describe(error).contains("did not use channel binding") => {
                    "channel_binding=require needs TLS and a password that the server stores as scram-sha-256"
                }
                None if describe(error).contains("certificate") => "see sslmode and sslrootcert in the URL",
                None => "the connection broke; logboom retries by itself",
            },
        })
    }
}

/// Returns true if a class of codes is user-defined. The standard leaves classes that begin with 5
/// to 9 or with I to Z to implementations, and PostgreSQL itself uses few of them.
fn is_own_class(class: &str) -> bool {
    let is_free = matches!(class.as_bytes().first(), Some(b'5'..=b'9' | b'I'..=b'Z'));
    is_free && !matches!(class, "53" | "54" | "55" | "57" | "58" | "72" | "P0" | "XX")
}

/// Returns what to do about a refusal that is not about a row. Every code has a hint, because the
/// store waits until the cause is gone.
fn hint_for(code: &SqlState) -> &'static str {
    match code.code() {
        "22023" | "42704" => {
            "the server does not support a setting or its value: check `options` in the URL, and triggers on \
             logboom's tables"
        }
        "25006" => "the server, or this role, is read-only now; logboom retries until that ends",
        "26000" | "42P05" | "08P01" => {
            "a pooler assigns a different connection to each transaction: set it to session pooling, or connect to \
             the server directly"
        }
        "28P01" | "28000" => "check user and password, and the server's pg_hba.conf",
        "3D000" => "create the database, or name another one in the URL",
        "3F000" => "create the schema that search_path names, or let the role create in `public`",
        "42501" => {
            "the role must own its schema or the tables in it; or let their owner run what `logboom schema --store postgres` prints"
        }
        "42883" => {
            "a function is missing, or may not be found by search_path: check triggers and defaults of logboom's tables"
        }
        "42P07" => {
            "there are tables without logboom's `logs_version`, or another object has a name that logboom uses: use \
             a separate schema for logboom (options=-c%20search_path%3DNAME)"
        }
        "53100" => "make room on the server's disk; logboom retries by itself",
        "53300" => "the server has no free connection (max_connections); logboom retries by itself",
        "55P03" => {
            "another session holds a lock on a table (see pg_locks, and long transactions in pg_stat_activity); \
             logboom retries by itself"
        }
        "57014" => "a person or a time limit has cancelled the statement; logboom retries by itself",
        "57P04" => "the database was dropped: create it, or name another one in the URL",
        other => hint_for_class(other.get(..2).unwrap_or_default()),
    }
}

/// Returns the hint for a class of codes, for [`hint_for`]. The classes are those of the standard
/// and of PostgreSQL.
fn hint_for_class(class: &str) -> &'static str {
    match class {
        "08" => "the connection broke; logboom retries by itself",
        "0A" => {
            "logboom's tables have a feature that its statements do not support, such as a rule or a foreign table: \
             `logboom schema --store postgres` shows what must be there"
        }
        "21" | "22" | "23" | "44" | "09" | "2F" | "38" | "39" | "P0" => {
            "a constraint or trigger that was added to one of logboom's own tables refuses the statement: change or \
             drop it; logboom retries by itself"
        }
        "25" | "40" => "logboom retries by itself",
        "28" | "0L" | "0P" => "check the role in the URL, and what it may do",
        "42" => {
            "a table or column of logboom's is missing or was changed: `logboom schema --store postgres` shows what \
             must be there; or a trigger refers to an object that does not exist"
        }
        "53" => "the server lacks a resource; logboom retries by itself",
        "54" => {
            "a limit of the server is reached, as by a trigger that calls itself: change or drop it; logboom retries \
             by itself"
        }
        "55" => {
            "a table is not in the state that the statement needs: the server's log has details; logboom retries by \
             itself"
        }
        "57" => "the server is stopping or starting; logboom retries by itself",
        "58" | "XX" => "check the server's log: its disk or its data may be damaged",
        "F0" => "the server's configuration is wrong: its log has details",
        "HV" => {
            "a foreign table is among the partitions of `logs`, and its server refuses the statement or is \
             unreachable; logboom retries by itself"
        }
        class if is_own_class(class) => {
            "a trigger that was added to one of logboom's own tables refuses the statement: change or drop it; \
             logboom retries by itself"
        }
        _ => "the server's log may have details; logboom retries until the server accepts the statement",
    }
}

/// Returns what may keep rows out of a table without an error, in words, or an empty text if there
/// is nothing of the kind. Called after statements that affect fewer rows than they must.
pub(crate) async fn obstacles(client: &Client, table: &str) -> Result<String, Error> {
    let obstacles = "SELECT coalesce(string_agg(what, ', '), '') FROM (
        SELECT format('the trigger %I of %s', tgname, tgrelid::regclass) AS what FROM pg_trigger
            WHERE tgrelid IN (SELECT relid FROM pg_partition_tree($1::text::regclass) UNION SELECT $1::text::regclass)
                AND NOT tgisinternal AND tgparentid = 0 AND tgenabled <> 'D'
                AND tgtype & 1 <> 0 AND tgtype & 66 <> 0 -- for each row, before it or instead of it
        UNION ALL SELECT format('the rule %I of %s', rulename, ev_class::regclass) FROM pg_rewrite
            WHERE ev_class = $1::text::regclass AND rulename <> '_RETURN'
        UNION ALL SELECT format('row-level security of %s', $1::text) WHERE row_security_active($1::text)
        LIMIT 5
    ) AS found";
    client.query_one(obstacles, &[&table]).await?.try_get(0)
}

/// Returns the server's message and its detail.
pub(crate) fn with_detail(refusal: &DbError) -> String {
    let detail = refusal.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
    format!("{}{detail}", refusal.message())
}

/// Returns an error with its causes, or the server's own message if it sent one.
fn describe(error: &Error) -> String {
    if let Some(refusal) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", refusal.message(), refusal.code().code());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The classes of PostgreSQL 18, and a user-defined one.
    #[test]
    fn every_error_class_has_hint() {
        let classes = "00 01 02 03 08 09 0A 0B 0F 0L 0P 0Z 10 20 21 22 23 24 25 26 27 28 2B 2D 2F 34 38 39 3B 3D 3F 40 42 44 \
                       53 54 55 57 58 72 F0 HV P0 XX LO";
        for class in classes.split_ascii_whitespace() {
            for code in ["000", "001", "006", "P01", "P02", "P05"] {
                let hint = hint_for(&SqlState::from_code(&format!("{class}{code}")));
                assert!(hint.len() > 20, "{class}{code}: {hint}");
            }
        }
        let of_triggers = ["21000", "22012", "23514", "38001", "39001", "P0001", "LOG01"];
        for code in of_triggers {
            assert!(hint_for(&SqlState::from_code(code)).contains("trigger"), "{code}");
        }
    }
}
