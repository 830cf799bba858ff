//! Ctrl-C, where it shall not just end the program.

use std::io;
use std::thread::spawn;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C, from the moment on at which this is there: it does not end the program any more.
pub(super) struct Interrupts(Runtime, Signal);

impl Interrupts {
    /// Takes them over.
    pub(super) fn keep() -> io::Result<Interrupts> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        // Once it was asked for, tokio's handler stays in place of the default one.
        let signal = {
            let _context = runtime.enter();
            signal(SignalKind::interrupt())?
        };
        Ok(Interrupts(runtime, signal))
    }

    /// Acts at the first of them, on a thread of its own.
    pub(super) fn then(mut self, act: impl FnOnce() + Send + 'static) {
        spawn(move || {
            self.0.block_on(self.1.recv());
            act();
        });
    }
}
