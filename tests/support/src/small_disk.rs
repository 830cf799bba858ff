//! A disk that is full when a test wants it to be.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system (tmpfs), mounted for one test.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it; this takes root.
    pub fn mount(path: &Path, size: &str) -> SmallDisk {
        std::fs::create_dir(path).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(path);
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "this test mounts a tmpfs, which takes root: {error}");
        SmallDisk(path.to_owned())
    }

    /// Occupies all the remaining space; returns the file that does.
    pub fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).unwrap();
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
