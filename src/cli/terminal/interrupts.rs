//! Ctrl-C, for commands that it must not simply end.

use std::io;
use std::thread::spawn;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Receives Ctrl-C. Once a value of this type exists, Ctrl-C no longer ends the program.
pub(crate) struct Interrupts(Runtime, Signal);

impl Interrupts {
    /// Takes over the handling of Ctrl-C.
    pub(crate) fn take_over() -> io::Result<Interrupts> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        // Once requested, tokio's handler stays in place of the default handler.
        let signal = {
            let _context = runtime.enter();
            signal(SignalKind::interrupt())?
        };
        Ok(Interrupts(runtime, signal))
    }

    /// Runs `act` at the first Ctrl-C, on a separate thread.
    pub(crate) fn on_first(mut self, act: impl FnOnce() + Send + 'static) {
        spawn(move || {
            self.0.block_on(self.1.recv());
            act();
        });
    }
}
