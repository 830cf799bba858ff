//! Progress bars for long operations: on stderr if it is a terminal, otherwise invisible.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Returns a bar of this many bytes.
pub(crate) fn of_bytes(what: &'static str, bytes: u64) -> ProgressBar {
    bar(what, Some(bytes), "{prefix} {wide_bar} {bytes} of {total_bytes} ({eta})")
}

/// Returns a counter of records whose total number is unknown.
pub(crate) fn of_records(what: &'static str) -> ProgressBar {
    bar(what, None, "{prefix} {spinner} {human_pos} records ({per_sec})")
}

fn bar(what: &'static str, length: Option<u64>, template: &str) -> ProgressBar {
    // The bar draws nothing if stderr is not a terminal.
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.with_prefix(what)
}
