//! Random choices that a seed in an environment variable repeats.

use std::time::{SystemTime, UNIX_EPOCH};

/// Random numbers from a seed (xorshift64).
pub struct Random(u64);

impl Random {
    /// Returns a generator whose seed is taken from the environment variable, or else from the
    /// clock; prints how to repeat the run.
    pub fn from_seed(name: &str) -> Random {
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into();
        let seed = variable(name).unwrap_or_else(clock) | 1;
        println!("{name}={seed} repeats this run"); // shown when it fails
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// Returns one of these values.
    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// Returns the number in an environment variable.
pub fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect(name))
}
