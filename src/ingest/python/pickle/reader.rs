//! Reads the bytes of a pickle. Every length is checked against the remaining bytes before it is
//! used.

use super::LoadError;

/// A position in a pickle.
#[derive(Clone, Debug)]
pub(crate) struct PickleReader<'a> {
    frame: &'a [u8],
    position: usize,
}

impl<'a> PickleReader<'a> {
    pub(crate) fn new(frame: &'a [u8]) -> PickleReader<'a> {
        PickleReader { frame, position: 0 }
    }

    /// Returns the position of the next byte.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// Returns the next byte without consuming it.
    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.frame.get(self.position).copied()
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, LoadError> {
        let byte = self.peek().ok_or(LoadError::Truncated)?;
        self.position += 1;
        Ok(byte)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], LoadError> {
        let rest = self.frame.get(self.position..).unwrap_or_default();
        let array = rest.first_chunk::<N>().ok_or(LoadError::Truncated)?;
        self.position += N;
        Ok(*array)
    }

    /// Skips `bytes`. Returns `None` if the next bytes are different.
    #[inline]
    pub(crate) fn expect(&mut self, bytes: &[u8]) -> Option<()> {
        self.frame.get(self.position..)?.starts_with(bytes).then(|| self.position += bytes.len())
    }

    /// Reads the next `length` bytes.
    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], LoadError> {
        let end = self.position.checked_add(length).ok_or(LoadError::Truncated)?;
        let bytes = self.frame.get(self.position..end).ok_or(LoadError::Truncated)?;
        self.position = end;
        Ok(bytes)
    }

    /// Reads a length of one byte.
    #[inline]
    pub(crate) fn length1(&mut self) -> Result<usize, LoadError> {
        self.byte().map(usize::from)
    }

    /// Reads a length of four bytes, little-endian.
    #[inline]
    pub(crate) fn length4(&mut self) -> Result<usize, LoadError> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    /// Reads a length of four bytes that the format declares as signed.
    pub(crate) fn length4_signed(&mut self) -> Result<usize, LoadError> {
        let length = i32::from_le_bytes(self.array()?);
        usize::try_from(length).map_err(|_| LoadError::Malformed("a negative length"))
    }

    /// Reads a length of eight bytes, little-endian.
    pub(crate) fn length8(&mut self) -> Result<usize, LoadError> {
        usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| LoadError::Truncated)
    }

    /// Reads the bytes up to the next line feed, and consumes the line feed too.
    pub(crate) fn line(&mut self) -> Result<&'a [u8], LoadError> {
        let rest = self.frame.get(self.position..).unwrap_or_default();
        let length = memchr::memchr(b'\n', rest).ok_or(LoadError::Truncated)?;
        self.position += length + 1;
        Ok(&rest[..length])
    }
}
