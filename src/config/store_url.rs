//! The values of the options of a store: its URL, its name, and the services that it keeps for a
//! shorter time.

use std::fmt;
use std::path::{Path, PathBuf};

use super::shape::{Arity, Shape, duration, optional};
use crate::limits::STORE_NAME_BYTES_MAX;
use crate::store::ServiceRetention;
use crate::store::postgres::PostgresUrl;

/// Where a store keeps its records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StoreUrl {
    /// A SQLite database. Bare `sqlite` is parsed as an empty path, until the data folder is known.
    Sqlite(PathBuf),
    /// Lines of text in a file.
    File(PathBuf),
    /// A PostgreSQL database.
    Postgres(Box<PostgresUrl>),
}

/// The values of `store`.
pub(super) const STORE_URL: Shape<StoreUrl> = Shape {
    name: "URL",
    accepts: "`sqlite`, `sqlite:PATH`, `postgres://USER@HOST/DATABASE` or `file:PATH`",
    form: Arity::List,
    parse: StoreUrl::parse,
};

/// The value of `url`.
pub(super) const ONE_STORE_URL: Shape<StoreUrl> = Shape { form: Arity::One, ..STORE_URL };

/// The values of `name`.
pub(super) const STORE_NAME: Shape<String> =
    Shape::one("NAME", "letters, digits, `-`, `_` and `.`, at most 64", parse_name);

/// The values of `node`.
pub(super) const OPTIONAL_NODE: Shape<Option<String>> =
    Shape::one("NAME", "letters, digits, `-`, `_` and `.`, at most 64; or `none`", |text| {
        optional(parse_name, text)
    });

/// The values of `retention`.
pub(super) const SERVICE_RETENTION: Shape<ServiceRetention> = Shape {
    name: "SERVICE=AGE",
    accepts: "a service and a duration such as `debug-noise=3d`, or `none`",
    form: Arity::List,
    parse: |text| {
        let (service, age) = text.rsplit_once('=').ok_or("has no `=`")?;
        let age = duration(age).map_err(|error| format!("has an age that {error}"))?;
        Ok(ServiceRetention { service: service.into(), age })
    },
};

/// The file of the default database within the data folder.
const DATABASE: &str = "logboom.db";

impl StoreUrl {
    fn parse(text: &str) -> Result<StoreUrl, String> {
        match text.split_once(':') {
            None if text == "sqlite" => Ok(StoreUrl::Sqlite(PathBuf::new())),
            Some(("sqlite" | "file", "")) => Err("has no path after the colon".into()),
            Some(("sqlite", path)) => Ok(StoreUrl::Sqlite(path.into())),
            Some(("file", path)) => Ok(StoreUrl::File(path.into())),
            Some(("postgres" | "postgresql", _)) => {
                PostgresUrl::parse(text).map(|url| StoreUrl::Postgres(Box::new(url)))
            }
            _ if text.contains("host=") || text.contains("dbname=") => {
                Err("is a list of keywords: write them as postgres://?KEYWORD=VALUE&KEYWORD=VALUE".into())
            }
            Some(("clickhouse", _)) => Err("names clickhouse, which is not in this version".into()),
            _ => Err("is not the address of a store".into()),
        }
    }

    /// Returns the kind of the store, which is also its name by default.
    pub fn kind(&self) -> &'static str {
        match self {
            StoreUrl::Sqlite(_) => "sqlite",
            StoreUrl::File(_) => "file",
            StoreUrl::Postgres(_) => "postgres",
        }
    }

    /// Returns the file that the store writes, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            StoreUrl::Sqlite(path) | StoreUrl::File(path) => Some(path),
            StoreUrl::Postgres(_) => None,
        }
    }

    pub(super) fn within(self, data_dir: &Path) -> StoreUrl {
        match self {
            StoreUrl::Sqlite(path) if path.as_os_str().is_empty() => {
                StoreUrl::Sqlite(data_dir.join(DATABASE))
            }
            url => url,
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreUrl::Sqlite(path) | StoreUrl::File(path) => {
                write!(formatter, "{}:{}", self.kind(), path.display())
            }
            StoreUrl::Postgres(url) => write!(formatter, "{url}"),
        }
    }
}

fn parse_name(text: &str) -> Result<String, String> {
    if is_store_name(text) { Ok(text.into()) } else { Err("is not a name".into()) }
}

/// Returns true if a store, or a node, can have this name.
pub fn is_store_name(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text.len() <= STORE_NAME_BYTES_MAX && text.bytes().all(is_fine)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn url_is_parsed() {
        assert_eq!(
            StoreUrl::parse("sqlite").unwrap().within(Path::new("d")).path(),
            Some(Path::new("d/logboom.db"))
        );
        assert_eq!(StoreUrl::parse("sqlite:/a/b.db"), Ok(StoreUrl::Sqlite("/a/b.db".into())));
        assert_eq!(StoreUrl::parse("file:x.log").unwrap().to_string(), "file:x.log");
        let postgres = StoreUrl::parse("postgres://jo:secret@h/db").unwrap();
        assert_eq!((postgres.kind(), postgres.to_string().as_str()), ("postgres", "postgres://jo@h/db"));
        for (text, part) in [
            ("clickhouse://a/b", "clickhouse, which is not in this version"),
            ("postgres:a", "does not begin with `postgres://`"),
            ("postgres://a?b=c", "the parameter `b`"),
            ("host=/run/pg dbname=logs", "write them as postgres://?"),
            ("file:", "no path"),
            ("sqlite:", "no path"),
            ("file", "not the address of a store"),
            ("mysql://a", "not the address of a store"),
        ] {
            let error = StoreUrl::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn retention_of_service_is_parsed() {
        let read = SERVICE_RETENTION.parse;
        let days = |service: &str, days: u64| ServiceRetention {
            service: service.into(),
            age: Duration::from_secs(days * 86_400),
        };
        assert_eq!(read("debug-noise=3d"), Ok(days("debug-noise", 3)));
        assert_eq!(read("a=b=1d"), Ok(days("a=b", 1)));
        assert_eq!(read("=1d"), Ok(days("", 1)));
        assert_eq!(read("noise"), Err("has no `=`".into()));
        assert_eq!(read("noise=soon"), Err("has an age that is not a duration".into()));
    }

    #[test]
    fn store_name_is_checked() {
        assert_eq!(parse_name("audit-2.old_x"), Ok("audit-2.old_x".into()));
        for text in ["", "a b", "a\"b", &"x".repeat(STORE_NAME_BYTES_MAX + 1)] {
            assert!(parse_name(text).is_err(), "{text}");
        }
    }
}
