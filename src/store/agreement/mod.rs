//! Tests that each database finds the records that the query language means: the oracle of the
//! query module decides.

mod postgres;
mod search;
mod sqlite;
