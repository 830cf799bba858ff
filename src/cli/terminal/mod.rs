//! How commands show what they read: the output and its pager, the layout of texts, tables and
//! plots, and records as lines, columns, JSON or CSV (`record_writer`).

mod grid_printer;
mod highlight;
mod interrupts;
mod line_printer;
pub(crate) mod numbers;
pub(crate) mod output;
mod pager;
pub(crate) mod paint;
pub(crate) mod plot;
pub(crate) mod progress;
mod record_text;
mod record_writer;
pub(crate) mod screen;
mod screen_printer;
mod table;
pub(crate) mod text;
mod wrap;

pub(crate) use interrupts::Interrupts;
pub(crate) use output::Output;
pub(crate) use paint::Style;
pub(crate) use plot::PlotSeries;
pub(crate) use record_writer::RecordWriter;
pub(crate) use screen::Screen;
pub(crate) use table::TextTable;
