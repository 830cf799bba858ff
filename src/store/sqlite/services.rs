//! Keeps the records of some services for a shorter time than the rest: block by block, each
//! examined once.
//!
//! The table `retention` contains how far the records were examined, so that a restart does not
//! start over.

use rusqlite::{OptionalExtension, params};

use super::delete::{self, Reason};
use super::{Database, SqliteStore, blocks, columns, migrate};
use crate::record::{Column, RecordId, time};
use crate::store::clock::ServiceLimit;
use crate::store::{ServiceRetention, StoreError};

impl SqliteStore {
    /// Sets the services whose records are kept for a shorter time.
    #[must_use]
    pub fn with_services(mut self, services: &[ServiceRetention]) -> SqliteStore {
        self.services = services.iter().map(ServiceLimit::new).collect();
        self
    }

    /// Examines the next block of the first service that has a due block. Returns true if there was
    /// one.
    pub(super) fn expire(&mut self) -> Result<bool, StoreError> {
        let mut services = std::mem::take(&mut self.services);
        let mut result = Ok(false);
        for service in &mut services {
            result = self.step(|database| database.expire_block(service));
            if !matches!(result, Ok(false)) {
                break;
            }
        }
        self.services = services;
        result
    }
}

impl Database {
    fn expire_block(&mut self, of: &mut ServiceLimit) -> rusqlite::Result<bool> {
        let ServiceLimit { service, limit } = of;
        let now = time::now();
        let from = self.looked_at_until(service)?;
        let block = blocks::next(&self.connection, from, now)?
            .filter(|block| block.observed_max < limit.time(now) && !self.blocks.is_growing(block));
        let is_credible = limit
            .is_credible(now, block.is_some(), |times| blocks::were_received(&self.connection, times))?;
        let Some(block) = block.filter(|_| is_credible) else { return Ok(false) };
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let ids = self.delete_service(service, from, block.end_id)?;
        delete::note(&self.connection, Reason::Expired, &ids)?;
        self.index.forget_records(&self.connection, &ids)?;
        self.connection
            .prepare_cached(
                "INSERT INTO retention VALUES (?, ?) ON CONFLICT DO UPDATE SET next_id = excluded.next_id",
            )?
            .execute(params![service.as_str(), block.end_id as i64])?;
        self.connection.execute_batch("COMMIT")?;
        Ok(true)
    }

    fn looked_at_until(&self, service: &str) -> rusqlite::Result<RecordId> {
        let mut select = self.connection.prepare_cached("SELECT next_id FROM retention WHERE service = ?")?;
        let next_id: Option<RecordId> = select.query_row([service], |row| row.get(0)).optional()?;
        Ok(next_id.unwrap_or(1))
    }

    fn delete_service(&self, service: &str, from: RecordId, to: RecordId) -> rusqlite::Result<Vec<RecordId>> {
        let mut ids = Vec::new();
        for (table, rows) in migrate::tables(self.migration.is_some()) {
            let mut delete = self.connection.prepare_cached(&format!(
                "DELETE FROM {table} WHERE id IN (
                    SELECT r.id FROM {rows} AS r WHERE r.id >= ? AND r.id < ? AND {} IS nullif(?, '')) RETURNING id",
                columns::expression(Column::Service)
            ))?;
            let deleted = delete.query_map(params![from as i64, to as i64, service], |row| row.get(0))?;
            for id in deleted {
                ids.push(id?);
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }
}
