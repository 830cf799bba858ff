//! Lines of bounded length: NDJSON and streams of events.

use std::io::{self, BufRead, Read};

use crate::limits::ANSWER_LINE_BYTES_MAX;

/// Reads the next line into `line`, without its end; returns false at the end of the input.
pub(crate) fn read_line(input: &mut (impl BufRead + ?Sized), line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let length = input.take(ANSWER_LINE_BYTES_MAX).read_until(b'\n', line)?;
    if length as u64 == ANSWER_LINE_BYTES_MAX {
        return Err(io::Error::other("a line is longer than any record"));
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(length > 0)
}
