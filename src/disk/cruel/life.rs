//! The life cycle of a simulated program: random operations from a start to a crash, and again.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::seeds::Tally;
use super::{CHANGES, Crash, CruelDisk, Fault, Moment, Random, Stop};

pub(crate) const MOMENTS: [Moment; 3] = [Moment::Before, Moment::Within, Moment::After];
pub(crate) const CRASHES: [Crash; 3] = [Crash::Kill, Crash::Power, Crash::PowerAndCache];

pub(crate) type Task<T> = Pin<Box<dyn Future<Output = T>>>;

pub(crate) fn poll<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Returns the value of a future that never waits.
pub(crate) fn done<T>(future: impl Future<Output = T>) -> T {
    match poll(&mut std::pin::pin!(future)) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

/// The disk of a simulated program, and what goes wrong on it.
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) disk: CruelDisk,
    pub(crate) tally: Tally,
    /// True if something was made to go wrong since the last start.
    pub(crate) is_troubled: bool,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let (random, disk) = (Random::new(seed), CruelDisk::new(seed));
        World { random, disk, tally: Tally::default(), is_troubled: false }
    }

    /// Makes calls of the disk fail.
    pub(crate) fn set_fault(&mut self, fault: Fault) {
        self.disk.set_fault(Some(fault));
        self.is_troubled = true;
        self.tally.faults += 1;
    }

    /// Stops the program at one of this many next changes of the disk.
    pub(crate) fn arm_stop(&mut self, changes: u64) {
        let moment = *self.random.pick(&MOMENTS);
        let after = self.random.below(changes);
        self.disk.stop_at(Some(Stop { calls: CHANGES, after, moment }));
        self.is_troubled = true;
    }

    pub(crate) fn any_crash(&mut self) -> Crash {
        *self.random.pick(&CRASHES)
    }

    /// Ends the program, whose parts were dropped.
    pub(crate) fn crash(&mut self, crash: Crash) {
        self.tally.crashes += 1;
        self.disk.restart(crash);
    }
}

/// An operation on a model, and its weight in the random choice.
pub(crate) type Operation<M> = (u64, fn(&mut M));

/// A model that a simulated program is compared with.
pub(crate) trait Model: Sized {
    fn world(&mut self) -> &mut World;

    fn operations(&self) -> Vec<Operation<Self>>;

    /// Returns true if the program accepts nothing until it is started again.
    fn is_poisoned(&self) -> bool;

    /// Starts the program, again and again until it is not stopped in the middle of its start.
    fn start(&mut self);

    /// Ends the program and starts it again.
    fn crash_and_start(&mut self);

    /// Ends the run: without further faults, everything works.
    fn finish(&mut self);

    fn step(&mut self) {
        let operations = self.operations();
        let world = self.world();
        world.tally.operations += 1;
        let operation = world.random.weighted(&operations);
        operation(self);
        if self.world().disk.is_down() || (self.is_poisoned() && self.world().random.one_in(8)) {
            self.crash_and_start();
        }
    }

    fn run(mut self, steps: u64) -> Tally {
        self.start();
        (0..steps).for_each(|_| self.step());
        self.finish();
        let World { disk, tally, .. } = self.world();
        Tally { calls: disk.calls(), ..*tally }
    }
}
