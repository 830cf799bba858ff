//! Counting in the server what a query finds, where its condition says all of it: no row is sent.

use std::pin::pin;
use std::time::Duration;

use futures_util::{TryStreamExt, join};

use super::condition;
use super::read::{Parameter, PostgresReader, ReadError, numbered};
use super::session::Session;
use crate::limits::POSTGRES_SILENCE_SECONDS_MAX;
use crate::query;
use crate::record::Column;
use crate::store::Search;

/// Whether the server can count what a search finds.
pub fn can_count(search: &Search) -> bool {
    condition::exact_condition(&search.query).is_some()
}

impl PostgresReader {
    /// Counts what a search finds within a stretch of time, by what a column has: `emit` gets each text of it, empty for none,
    /// and its number. The ids of the search are those of its query.
    ///
    /// The planner cannot know how few the buckets of a time are, and it would sort all rows for them. For one bucket it has the
    /// index on times, partitions and several processes.
    pub async fn count(
        &mut self,
        search: &Search,
        column: Column,
        times: query::Range,
        time_left: Duration,
        mut emit: impl FnMut(&str, u64),
    ) -> Result<(), ReadError> {
        let (sql, parameters) = statement(search, column, times, self.node());
        let activity = self.activity();
        let Session { client, line } = self.session();
        let within = format!("SET statement_timeout = {}", time_left.as_millis().max(1));
        let work = async {
            let (set, counts) = join!(client.batch_execute(&within), client.query_raw(&sql, &parameters));
            set?;
            let mut counts = pin!(counts?);
            activity.allow_row();
            while let Some(row) = counts.try_next().await? {
                activity.allow_row();
                let text = row.try_get::<_, Option<&str>>(0)?.unwrap_or_default();
                emit(text, row.try_get::<_, i64>(1)?.cast_unsigned());
            }
            Ok(())
        };
        let counted = line.drive_within(time_left.as_secs() + POSTGRES_SILENCE_SECONDS_MAX, work).await;
        counted.map_err(|fault| self.read_error(&fault))
    }
}

pub(super) fn statement(
    search: &Search,
    column: Column,
    times: query::Range,
    node: &str,
) -> (String, Vec<Parameter>) {
    let condition = condition::condition(&search.query);
    let searched = query::Range { first: search.time_min, last: search.time_max };
    let times = condition::time_condition(times.intersection(searched));
    let name = column.name();
    let value = match column {
        Column::SeverityNumber | Column::Line | Column::ProcessId => format!("nullif({name}, 0)::text"),
        _ => name.to_owned(),
    };
    let sql = format!(
        "SELECT {value}, count(*) FROM logs WHERE node = ? AND {} AND {} GROUP BY {name}",
        times.sql, condition.sql,
    );
    let parameters = [times.parameters, condition.parameters].into_iter().flatten().map(Parameter::from);
    (numbered(&sql), std::iter::once(Parameter::Text(node.to_owned())).chain(parameters).collect())
}
