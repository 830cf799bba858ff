//! Shapes: what the inputs of a sender have in common, learnt from one of them and used to read the next.
//!
//! The records that a program writes at one place differ in their values only. So once an input has been read the general
//! way, its shape is kept: the bytes between the values, and what became of each value. An input that has the same bytes at
//! the same places, and ordinary values, is then read by comparing and cutting, without looking up a name. Whatever
//! differs in the least is left to the general way, which has the last word on what a record is: a shape knows nothing that
//! was not seen there.

use crate::limits::SHAPES_MAX;

/// Learning pays if the shape is met again. Where inputs are never alike, one in so many is learnt from.
const LEARNING_COSTS: u32 = 8;
const CREDIT_MAX: u32 = 8 * LEARNING_COSTS;

/// The shapes met lately, the last used first.
#[derive(Debug)]
pub(super) struct Shapes<S> {
    known: Vec<S>,
    credit: u32,
}

impl<S> Default for Shapes<S> {
    fn default() -> Shapes<S> {
        Shapes { known: Vec::new(), credit: CREDIT_MAX }
    }
}

impl<S> Shapes<S> {
    /// Tries the shapes on an input until one reads it.
    pub(super) fn read(&mut self, mut read: impl FnMut(&S) -> Option<()>) -> Option<()> {
        self.credit = CREDIT_MAX.min(self.credit + 1);
        let used = self.known.iter().position(|shape| read(shape).is_some())?;
        self.known[..=used].rotate_right(1);
        Some(())
    }

    /// Keeps the shape of an input that none of the others read, if it has one.
    pub(super) fn learn(&mut self, shape: impl FnOnce() -> Option<S>) {
        if self.credit < LEARNING_COSTS {
            return;
        }
        self.credit -= LEARNING_COSTS;
        if let Some(shape) = shape() {
            self.known.truncate(SHAPES_MAX - 1);
            self.known.insert(0, shape);
        }
    }
}
