//! A bounded buffer of lines in front of a file, written without blocking.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering::Relaxed;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;

use super::{DROPPED, note_of_dropped};
use crate::limits::{LOG_BUFFER_BYTES_MAX, LOG_WRITE_BYTES_MAX};

/// Lines that wait to be written to a file.
pub(super) struct Sink<F> {
    file: F,
    /// Bytes that are not written yet. The beginning of the first line may be written already.
    waiting: VecDeque<u8>,
    /// Lines dropped since this was last reported.
    dropped: u64,
}

impl<F: AsFd> Sink<F> {
    pub(super) const fn new(file: F) -> Sink<F> {
        Sink { file, waiting: VecDeque::new(), dropped: 0 }
    }

    /// Adds a line, and writes as much as possible without blocking. Returns the file's error if
    /// anything remains to be written.
    pub(super) fn push(&mut self, line: &[u8]) -> io::Result<()> {
        let before = self.write();
        // After a dropped line, no line is added before the note that reports it.
        if self.dropped > 0 || self.waiting.len() + line.len() > LOG_BUFFER_BYTES_MAX {
            self.dropped += 1;
            DROPPED.fetch_add(1, Relaxed);
            return before;
        }
        self.waiting.extend(line);
        if before.is_ok() { self.write() } else { before }
    }

    /// Writes as much as possible without blocking. Returns the file's error if anything remains.
    pub(super) fn write(&mut self) -> io::Result<()> {
        self.write_waiting()?;
        if self.dropped > 0 {
            let note = note_of_dropped(std::mem::take(&mut self.dropped));
            self.waiting.extend(note.as_bytes());
            self.write_waiting()?;
        }
        Ok(())
    }

    fn write_waiting(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            if !self.is_writable()? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let (part, _) = self.waiting.as_slices();
            let part = &part[..part.len().min(LOG_WRITE_BYTES_MAX)];
            // Whole lines if possible: other processes may write to the same file.
            let end = memchr::memrchr(b'\n', part).map_or(part.len(), |at| at + 1);
            let written = rustix::io::write(&self.file, &part[..end])?;
            self.waiting.drain(..written);
        }
        Ok(())
    }

    /// Returns true if a write of [`LOG_WRITE_BYTES_MAX`] does not block, also of a file in
    /// blocking mode.
    fn is_writable(&self) -> io::Result<bool> {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        // After an error or a hang-up the write reports it.
        Ok(poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], Some(&now))? > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use rustix::fd::OwnedFd;

    use super::*;

    fn line(number: usize) -> String {
        format!("{number} {}\n", "x".repeat(100))
    }

    /// A pipe in blocking mode, as a parent passes it to a child.
    fn pipe() -> (std::io::PipeReader, Sink<OwnedFd>) {
        let (reader, writer) = std::io::pipe().unwrap();
        (reader, Sink::new(writer.into()))
    }

    #[test]
    fn unread_pipe_does_not_block() {
        let (mut reader, mut sink) = pipe();
        let mut pushed = 0;
        while sink.dropped < 100 {
            let _ = sink.push(line(pushed).as_bytes());
            pushed += 1;
        }
        assert!(sink.waiting.len() <= LOG_BUFFER_BYTES_MAX);
        assert_eq!(sink.write().unwrap_err().kind(), io::ErrorKind::WouldBlock);

        let reading = std::thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        while sink.write().is_err() {
            std::thread::yield_now();
        }
        sink.push(line(pushed).as_bytes()).unwrap();
        drop(sink);
        let text = reading.join().unwrap();
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        let (kept, last) = lines.split_at(pushed - 100);
        assert!(kept.iter().enumerate().all(|(number, kept)| *kept == line(number)), "in order, and whole");
        assert_eq!(last.len(), 2);
        assert!(last[0].ends_with("lines=100\n"), "{last:?}");
        assert_eq!(last[1], line(pushed));
    }

    #[test]
    fn failing_file_is_retried() {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut sink = Sink::new(OwnedFd::from(full));
        assert_eq!(sink.push(b"kept\n").unwrap_err().kind(), io::ErrorKind::StorageFull);
        let mut healed = tempfile::tempfile().unwrap();
        sink.file = healed.try_clone().unwrap().into();
        sink.push(b"next\n").unwrap();
        io::Seek::rewind(&mut healed).unwrap();
        assert_eq!(io::read_to_string(healed).unwrap(), "kept\nnext\n");
    }

    #[test]
    fn closed_pipe_leaves_buffer_bounded() {
        let (reader, mut sink) = pipe();
        drop(reader);
        while sink.dropped == 0 {
            assert_eq!(sink.push(line(0).as_bytes()).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
        assert!(sink.waiting.len() <= LOG_BUFFER_BYTES_MAX);
    }
}
