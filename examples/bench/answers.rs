//! Reads responses of HTTP/1.1 servers, only as far as counting requires.

use std::io;

use memchr::memmem;

/// The responses of one connection, which may be cut anywhere.
#[derive(Default)]
pub struct Answers {
    partial: Vec<u8>,
}

impl Answers {
    /// Calls `answered` for each response that is complete now, with the number of records that the
    /// response reports as accepted, if it does.
    pub fn read(&mut self, bytes: &[u8], mut answered: impl FnMut(Option<u64>)) -> io::Result<()> {
        let mut joined = std::mem::take(&mut self.partial);
        let mut rest = bytes;
        if !joined.is_empty() {
            joined.extend_from_slice(bytes);
            rest = &joined;
        }
        while let Some((length, accepted)) = first(rest)? {
            answered(accepted);
            rest = &rest[length..];
        }
        self.partial = rest.to_vec(); // nearly always empty
        Ok(())
    }
}

/// Returns the length of the first response, and the number of records that it reports as accepted.
/// Any status except 200 is an error.
fn first(bytes: &[u8]) -> io::Result<Option<(usize, Option<u64>)>> {
    let Some(head) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let (head, body) = bytes.split_at(head + 4);
    let length = number_after(head, b"content-length: ")
        .or_else(|| number_after(head, b"Content-Length: "))
        .ok_or_else(|| surprise("an answer without a length", head))? as usize;
    let Some(body) = body.get(..length) else { return Ok(None) };
    if !head.starts_with(b"HTTP/1.1 200") {
        return Err(surprise("an answer other than 200", &[head, body].concat()));
    }
    Ok(Some((head.len() + length, number_after(body, b"\"accepted\":"))))
}

fn number_after(bytes: &[u8], name: &[u8]) -> Option<u64> {
    let start = memmem::find(bytes, name)? + name.len();
    let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

fn surprise(what: &str, bytes: &[u8]) -> io::Error {
    io::Error::other(format!("{what}: {}", String::from_utf8_lossy(bytes)))
}
