//! Searches, and the responses that consist of what they find: streams of records, pages, counts.

pub(super) mod count;
pub(super) mod csv_table;
pub(super) mod cursor;
pub(super) mod paging;
pub(super) mod parameters;
pub(super) mod response;
pub(super) mod timeline;
