//! A bar on a terminal for what takes long, on stderr; nothing elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar of so many bytes.
pub(super) fn of_bytes(what: &'static str, bytes: u64) -> ProgressBar {
    bar(what, Some(bytes), "{prefix} {wide_bar} {bytes} of {total_bytes} ({eta})")
}

/// A count of things whose number is not known.
pub(super) fn of_records(what: &'static str) -> ProgressBar {
    bar(what, None, "{prefix} {spinner} {human_pos} records ({per_sec})")
}

fn bar(what: &'static str, length: Option<u64>, template: &str) -> ProgressBar {
    // It draws nothing where stderr is no terminal.
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.with_prefix(what)
}
