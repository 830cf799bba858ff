//! No acknowledged record is lost, doubled or changed, whatever happens to the process, the disk,
//! the files and the clock.

mod clock;
mod disk_faults;
mod displaced_files;
mod kill_points;
mod large_records;
mod load_2017;
mod soak;
mod torture;
