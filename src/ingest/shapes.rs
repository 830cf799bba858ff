//! Shapes: templates that are learnt from one input of a sender and used to decode the next inputs.
//!
//! Records that a program writes at one call site differ only in their values. So once an input has
//! been decoded by the general decoder, its shape is kept: the bytes between the values, and the
//! field that each value was stored in. An input that has the same bytes in the same places, and
//! ordinary values, is then decoded by comparing and slicing, without looking up a name. An input
//! that differs in any way is left to the general decoder, which alone defines what a record is: a
//! shape contains only what the general decoder produced.

use crate::limits::SHAPES_MAX;

/// Learning pays only if the shape is met again. If inputs are never alike, only one in this many
/// is learnt from.
const LEARNING_COSTS: u32 = 8;
const CREDIT_MAX: u32 = 8 * LEARNING_COSTS;

/// The shapes that were used recently, the last used first.
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
    /// Tries the shapes on an input until one of them decodes it.
    pub(super) fn read(&mut self, mut read: impl FnMut(&S) -> Option<()>) -> Option<()> {
        self.credit = CREDIT_MAX.min(self.credit + 1);
        let used = self.known.iter().position(|shape| read(shape).is_some())?;
        self.known[..=used].rotate_right(1);
        Some(())
    }

    /// Keeps the shape of an input that none of the known shapes decoded, if the input has a shape.
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
