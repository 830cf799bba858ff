//! Searches bytes by a property, 64 at a time, and reads integers from bytes.

/// Returns the little-endian integer at an offset.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(word)
}

/// Returns the little-endian integer at an offset.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(word)
}

/// Returns the positions of the wanted bytes.
pub(super) fn positions(bytes: &[u8], is_wanted: impl Fn(u8) -> bool + Copy) -> impl Iterator<Item = usize> {
    let mut masks = masks(bytes, is_wanted);
    let (mut first, mut wanted) = (0, 0u64);
    std::iter::from_fn(move || {
        while wanted == 0 {
            (first, wanted) = masks.next()?;
        }
        let position = first + wanted.trailing_zeros() as usize;
        wanted &= wanted - 1;
        Some(position)
    })
}

/// The number of bytes in a chunk: one for each bit of a machine word.
const CHUNK_BYTES: usize = 64;

/// Returns the start of each chunk of 64 bytes, and a mask with one bit for each wanted byte. NUL,
/// which pads the last chunk, must not be wanted.
pub(crate) fn masks(
    bytes: &[u8],
    is_wanted: impl Fn(u8) -> bool + Copy,
) -> impl Iterator<Item = (usize, u64)> {
    let (chunks, rest) = bytes.as_chunks::<CHUNK_BYTES>();
    let mut last = [0; CHUNK_BYTES];
    last[..rest.len()].copy_from_slice(rest);
    let last = (bytes.len() - rest.len(), mask(&last, is_wanted));
    let whole =
        chunks.iter().enumerate().map(move |(index, chunk)| (index * CHUNK_BYTES, mask(chunk, is_wanted)));
    whole.chain([last])
}

/// Returns one bit for each wanted byte. No branch depends on a byte, so the processor compares
/// many at once.
fn mask(chunk: &[u8; CHUNK_BYTES], is_wanted: impl Fn(u8) -> bool) -> u64 {
    let wanted = chunk.map(|byte| u8::from(is_wanted(byte)));
    let (eights, _) = wanted.as_chunks::<8>();
    eights.iter().rev().fold(0, |bits, eight| {
        // The multiplication collects the eight lowest bits in the highest byte.
        bits << 8 | u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56
    })
}
