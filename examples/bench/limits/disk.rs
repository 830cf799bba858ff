//! The disk: the minimum time of one durable write, and the time that writing a file takes.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use logboom::limits::LOG_FILE_WRITE_BYTES;

use crate::histogram::Histogram;

const WRITE_BYTES: usize = 4 << 10;
const FILE_WRITES: u64 = 2048;

/// Writes 4 KiB and calls `fdatasync` repeatedly, on a file whose blocks are all written already.
pub fn sync(folder: &Path, writes: u64) -> Histogram {
    let path = folder.join("sync");
    let file = File::create(&path).unwrap();
    let block = [0x55; WRITE_BYTES];
    let write = |number: u64| file.write_all_at(&block, number % FILE_WRITES * WRITE_BYTES as u64).unwrap();
    (0..FILE_WRITES).for_each(write);
    file.sync_all().unwrap();
    let mut latencies = Histogram::new();
    for number in 0..writes {
        let start = Instant::now();
        write(number);
        file.sync_data().unwrap();
        latencies.add(start.elapsed());
    }
    std::fs::remove_file(path).unwrap();
    latencies
}

/// Returns the seconds to write a file as long as this one, of the same bytes, in the pieces in
/// which logboom writes. (The bytes are those of the file's beginning, repeated.)
pub fn copy(path: &Path, to: &Path) -> f64 {
    let length = std::fs::metadata(path).unwrap().len() as usize;
    let mut piece = vec![0; length.min(16 << 20)];
    File::open(path).unwrap().read_exact(&mut piece).unwrap();
    let pieces = piece.chunks(LOG_FILE_WRITE_BYTES).cycle();
    let start = Instant::now();
    let mut file = File::create(to).unwrap();
    let mut missing = length;
    for piece in pieces {
        let piece = &piece[..piece.len().min(missing)];
        file.write_all(piece).unwrap();
        missing -= piece.len();
        if missing == 0 {
            break;
        }
    }
    start.elapsed().as_secs_f64()
}
