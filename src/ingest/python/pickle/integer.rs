//! Integers beyond 64 bits, as decimal digits.

use crate::limits::PICKLE_INTEGER_BYTES_MAX;

/// Returns the decimal digits of a little-endian two's complement number, or only its size if it is
/// too large.
pub(super) fn decimal(bytes: &[u8]) -> String {
    if bytes.len() > PICKLE_INTEGER_BYTES_MAX {
        return format!("<int of {} bytes>", bytes.len());
    }
    let is_negative = bytes.last().is_some_and(|last| *last >= 0x80);
    let mut words = magnitude(bytes, is_negative);
    let mut groups = Vec::new();
    while words.iter().any(|word| *word != 0) {
        groups.push(divide(&mut words, GROUP));
    }
    let mut text = String::from(if is_negative { "-" } else { "" });
    for (place, group) in groups.iter().rev().enumerate() {
        text += &if place == 0 { group.to_string() } else { format!("{group:09}") };
    }
    if groups.is_empty() { "0".to_owned() } else { text }
}

/// The divisor for nine decimal digits at a time.
const GROUP: u64 = 1_000_000_000;

/// Returns the absolute value as 32-bit words, little-endian.
fn magnitude(bytes: &[u8], is_negative: bool) -> Vec<u32> {
    let fill = if is_negative { 0xff } else { 0 };
    let mut carry = is_negative;
    let words = bytes.chunks(4).map(|chunk| {
        let mut word = [fill; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        let word = u32::from_le_bytes(word);
        if !is_negative {
            return word;
        }
        let (word, overflow) = (!word).overflowing_add(u32::from(carry));
        carry = overflow;
        word
    });
    let mut words: Vec<u32> = words.collect();
    words.extend(carry.then_some(1));
    words
}

/// Divides in place, drops leading zeros, and returns the remainder.
fn divide(words: &mut Vec<u32>, divisor: u64) -> u64 {
    let mut remainder = 0;
    for word in words.iter_mut().rev() {
        let value = remainder << 32 | u64::from(*word);
        *word = (value / divisor) as u32; // below 2^32, since the remainder is below the divisor
        remainder = value % divisor;
    }
    while words.last() == Some(&0) {
        words.pop();
    }
    remainder
}
