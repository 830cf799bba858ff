//! Counts the matches of a query in the server, if the SQL condition expresses the whole query. No
//! row is sent.

use std::time::Duration;

use tokio_postgres::Row;

use super::condition;
use super::search::{Parameter, PostgresReadConnection, ReadError, numbered};
use crate::query;
use crate::record::Column;
use crate::store::Search;

/// Returns true if the server can count the matches of a search.
pub fn can_count(search: &Search) -> bool {
    condition::exact_condition(&search.query).is_some()
}

impl PostgresReadConnection {
    /// Counts the matches of a search within a time range, grouped by a column. `emit` receives
    /// each text of the column, empty for none, and its count. The ids of the search must be those
    /// of its query.
    ///
    /// The planner cannot know how few time buckets there are, and would sort all rows to group by
    /// them. For a single bucket, it can use the index on times, partitions and parallel workers.
    pub async fn count(
        &mut self,
        search: &Search,
        column: Column,
        times: query::IntegerRange,
        time_left: Duration,
        mut emit: impl FnMut(&str, u64),
    ) -> Result<(), ReadError> {
        let (sql, parameters) = statement(search, column, times, self.node());
        let take = |row: &Row| {
            let text = row.try_get::<_, Option<&str>>(0)?.unwrap_or_default();
            emit(text, row.try_get::<_, i64>(1)?.cast_unsigned());
            Ok(true)
        };
        self.each_row(&sql, parameters, time_left, take).await
    }
}

pub(super) fn statement(
    search: &Search,
    column: Column,
    times: query::IntegerRange,
    node: &str,
) -> (String, Vec<Parameter>) {
    let condition = condition::condition(&search.query);
    let searched = query::IntegerRange { first: search.time_min, last: search.time_max };
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
