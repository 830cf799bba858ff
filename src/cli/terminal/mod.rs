//! How commands show what they read: the output and its pager, the layout of texts, tables and
//! plots, and records as lines, columns, JSON or CSV (`record_writer`).

mod grid_printer;
mod highlight;
pub(crate) mod interrupts;
mod line_printer;
pub(crate) mod numbers;
pub(crate) mod output;
mod pager;
pub(crate) mod paint;
pub(crate) mod plot;
pub(crate) mod progress;
mod record_text;
pub(crate) mod record_writer;
pub(crate) mod screen;
mod screen_printer;
pub(crate) mod table;
pub(crate) mod text;
mod wrap;
