//! What a server takes that nobody talks to.

use std::time::Duration;

use super::Setup;
use crate::report::{Figures, Line, Reach};

/// The memory of a server that has started, and answered one question.
pub fn measure(setup: &Setup) -> Vec<Line> {
    let server = setup.server(0, &[]);
    server.status();
    let cpu = server.process.cpu_seconds();
    let seconds = setup.seconds(4.0);
    std::thread::sleep(Duration::from_secs_f64(seconds));
    let figures = Figures::from([
        ("peak_megabytes", server.process.peak_bytes() / 1e6),
        ("cpu_percent", (server.process.cpu_seconds() - cpu) / seconds * 100.0),
    ]);
    vec![Line::new("idle", figures).held_against("peak_megabytes", 15.0, Reach::AtMost(1.0))]
}
