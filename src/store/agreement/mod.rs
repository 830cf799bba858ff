//! Tests that each database finds the records that the query language means: the oracle of the
//! query module decides.

mod postgres;
mod search;
mod sqlite;
mod tables;

use crate::record::{Origin, RecordRef};
use crate::store::sqlite::functions;
