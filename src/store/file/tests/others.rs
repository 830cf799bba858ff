//! Other programs and people: logrotate, editors, a second logboom, missing rights.

use super::*;

struct Shared {
    folder: TempDir,
    path: PathBuf,
}

impl Shared {
    fn new() -> Shared {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("app.log");
        Shared { folder, path }
    }

    fn open(&self) -> FileStore {
        FileStore::new(options(&self.path))
    }

    fn rename(&self, to: &str) -> PathBuf {
        let target = self.folder.path().join(to);
        std::fs::rename(&self.path, &target).unwrap();
        target
    }

    fn position_file(&self) -> PathBuf {
        self.folder.path().join("app.log.position")
    }
}

#[test]
fn sighup_after_rename_begins_new_file() {
    let case = Shared::new();
    let mut store = case.open();
    let reopen = store.reopen_handle();
    fill(&mut store, 4);
    let renamed = case.rename("app.log-20241004");
    fill(&mut store, 6);
    reopen.store(true, Relaxed);
    fill(&mut store, 9);
    assert_eq!(read(&renamed), messages(1, 6));
    assert_eq!(read(&case.path), messages(6, 9));
}

#[test]
fn sighup_without_rename_keeps_file() {
    let case = Shared::new();
    let mut store = case.open();
    fill(&mut store, 4);
    store.reopen_handle().store(true, Relaxed);
    fill(&mut store, 9);
    assert_eq!(read(&case.path), messages(1, 9));
    assert_eq!(names(case.folder.path()), ["app.log"]);
}

#[test]
fn replacement_file_is_appended_to() {
    let case = Shared::new();
    let mut store = case.open();
    fill(&mut store, 4);
    case.rename("app.log.1");
    std::fs::write(&case.path, "# begun by logrotate\n").unwrap();
    store.reopen_handle().store(true, Relaxed);
    fill(&mut store, 6);
    assert_eq!(read(&case.path), format!("# begun by logrotate\n{}", messages(4, 6)));
}

#[test]
fn maintain_detects_rename_or_removal() {
    let case = Shared::new();
    let mut store = case.open();
    fill(&mut store, 4);
    case.rename("old");
    done(store.maintain()).unwrap();
    fill(&mut store, 6);
    assert_eq!(read(&case.path), messages(4, 6));
    std::fs::remove_file(&case.path).unwrap();
    done(store.maintain()).unwrap();
    fill(&mut store, 8);
    assert_eq!(read(&case.path), messages(6, 8));
}

#[test]
fn crash_between_rename_and_reopen_cuts_renamed_file() {
    let case = Shared::new();
    let mut store = case.open();
    fill(&mut store, 4);
    done(store.sync()).unwrap();
    fill(&mut store, 6);
    drop(store);
    let renamed = case.rename("anything");
    let mut store = case.open();
    assert_eq!(done(store.position()).unwrap(), 4);
    fill(&mut store, 8);
    assert_eq!(read(&renamed), messages(1, 4));
    assert_eq!(read(&case.path), messages(4, 8));
}

#[test]
fn copytruncate_leaves_no_hole() {
    let case = Shared::new();
    let mut store = case.open();
    fill(&mut store, 4);
    std::fs::copy(&case.path, case.folder.path().join("app.log.1")).unwrap();
    std::fs::File::options().write(true).open(&case.path).unwrap().set_len(0).unwrap();
    fill(&mut store, 6);
    done(store.sync()).unwrap();
    assert_eq!(read(&case.path), messages(4, 6));
    drop(store);
    let mut store = case.open();
    assert_eq!(done(store.position()).unwrap(), 6);
    fill(&mut store, 7);
    assert_eq!(read(&case.path), messages(4, 7));
}

#[test]
fn file_emptied_while_stopped_is_continued() {
    let case = Shared::new();
    let mut store = case.open();
    fill(&mut store, 4);
    done(store.sync()).unwrap();
    drop(store);
    std::fs::write(&case.path, "").unwrap();
    let mut store = case.open();
    assert_eq!(done(store.position()).unwrap(), 4);
    fill(&mut store, 6);
    assert_eq!(read(&case.path), messages(4, 6));
}

#[test]
fn data_of_other_program_is_not_overwritten() {
    let case = Shared::new();
    let mut store = case.open();
    fill(&mut store, 4);
    let both = format!("{}a marker", messages(1, 4));
    std::fs::write(&case.path, &both).unwrap();
    fill(&mut store, 6);
    assert_eq!(read(&case.path), both + "\n" + &messages(4, 6));
}

#[test]
fn log_of_other_program_is_kept_and_last_line_ended() {
    let case = Shared::new();
    std::fs::write(&case.path, "theirs\nhalf a li").unwrap();
    let mut store = case.open();
    assert_eq!(done(store.position()).unwrap(), 1);
    fill(&mut store, 3);
    assert_eq!(read(&case.path), format!("theirs\nhalf a li\n{}", messages(1, 3)));
}

#[test]
fn file_with_same_inode_but_other_bytes_is_not_cut() {
    let case = Shared::new();
    let mut store = case.open();
    fill(&mut store, 4);
    done(store.sync()).unwrap();
    drop(store);
    let theirs = "x".repeat(1000) + "\n";
    std::fs::write(&case.path, &theirs).unwrap(); // truncates and writes the same inode
    let mut store = case.open();
    assert_eq!(done(store.position()).unwrap(), 4);
    assert_eq!(read(&case.path), theirs);
}

#[test]
fn restored_copy_is_identified_by_bytes() {
    let case = Shared::new();
    let mut store = case.open();
    fill(&mut store, 4);
    done(store.sync()).unwrap();
    fill(&mut store, 6);
    drop(store);
    let copy = case.folder.path().join("copy");
    std::fs::copy(&case.path, &copy).unwrap();
    std::fs::remove_file(&case.path).unwrap();
    let placeholder = case.folder.path().join("placeholder");
    std::fs::write(&placeholder, "takes the old inode number").unwrap();
    std::fs::rename(&copy, &case.path).unwrap();
    let mut store = case.open();
    assert_eq!(done(store.position()).unwrap(), 4);
    fill(&mut store, 6);
    assert_eq!(read(&case.path), messages(1, 6));
}

#[test]
fn inode_number_takes_precedence_over_bytes() {
    let disk = super::disk::MemoryDisk::default();
    let open = || FileStore::with_disk(options("app.log"), Arc::new(disk.clone()));
    let mut store = open();
    fill(&mut store, 4);
    done(store.sync()).unwrap();
    disk.others_rename("app.log", "old");
    let alike = messages(1, 4) + "of another program\n";
    disk.put("app.log", &alike);
    fill(&mut open(), 6);
    assert_eq!(disk.text("app.log").unwrap(), alike + &messages(4, 6));
}

#[test]
fn other_files_with_similar_names_are_unchanged() {
    let case = Shared::new();
    for name in ["app.log.new", "app.log.position.new"] {
        std::fs::write(case.folder.path().join(name), "of another program\n").unwrap();
    }
    fill(&mut case.open(), 3);
    assert_eq!(read(&case.path), messages(1, 3));
    for name in ["app.log.new", "app.log.position.new"] {
        assert_eq!(read(&case.folder.path().join(name)), "of another program\n");
    }
}

#[test]
fn damaged_position_file_loses_no_line() {
    let case = Shared::new();
    let mut store = case.open();
    fill(&mut store, 4);
    done(store.sync()).unwrap();
    drop(store);
    let bytes = std::fs::read(case.position_file()).unwrap();
    std::fs::write(case.position_file(), bytes.iter().map(|byte| !byte).collect::<Vec<u8>>()).unwrap();
    let mut store = case.open();
    assert_eq!(done(store.position()).unwrap(), 1);
    fill(&mut store, 6);
    assert_eq!(read(&case.path), messages(1, 4) + &messages(1, 6));
}

#[test]
fn one_damaged_slot_leaves_other_usable() {
    let case = Shared::new();
    let mut store = case.open();
    for end in [4, 6, 8] {
        fill(&mut store, end);
        done(store.sync()).unwrap();
    }
    drop(store);
    let whole = std::fs::read(case.position_file()).unwrap();
    let lines = read(&case.path);
    let mut positions = Vec::new();
    for slot in [0, 4096] {
        let mut damaged = whole.clone();
        damaged[slot + 20] ^= 1;
        std::fs::write(case.position_file(), damaged).unwrap();
        positions.push(done(case.open().position()).unwrap());
        std::fs::write(&case.path, &lines).unwrap();
    }
    positions.sort_unstable();
    assert_eq!(positions, [6, 8]);
}

/// Version 1 ended after 120 bytes, and log files were not claimed.
#[test]
fn version_1_position_file_is_read_and_upgraded() {
    let case = Shared::new();
    let mut store = case.open();
    fill(&mut store, 4);
    done(store.sync()).unwrap();
    drop(store);
    let mut bytes = std::fs::read(case.position_file()).unwrap();
    bytes.resize(4096 + 212, 0);
    for slot in [0, 4096] {
        if bytes[slot] == 0 {
            continue; // the slot was not written yet
        }
        bytes[slot + 7] = 1;
        let checksum = crc32c::crc32c(&bytes[slot..slot + 52]);
        bytes[slot + 52..slot + 56].copy_from_slice(&checksum.to_le_bytes());
        bytes[slot + 120..slot + 212].fill(0);
    }
    std::fs::write(case.position_file(), &bytes).unwrap();
    let mut store = case.open();
    assert_eq!(done(store.position()).unwrap(), 4);
    for end in [6, 7] {
        fill(&mut store, end);
        done(store.sync()).unwrap();
    }
    drop(store);
    assert_eq!(read(&case.path), messages(1, 7));
    let bytes = std::fs::read(case.position_file()).unwrap();
    assert_eq!((bytes[7], bytes[4096 + 7]), (2, 2));
    assert_eq!(done(case.open().position()).unwrap(), 7);
}

#[test]
fn log_file_of_other_data_folder_is_unchanged() {
    let case = Shared::new();
    let mut store = case.open();
    fill(&mut store, 4);
    done(store.sync()).unwrap();
    drop(store);
    let mut text = std::fs::read_to_string(&case.path).unwrap();
    text.push_str("what a crash left behind");
    std::fs::write(&case.path, &text).unwrap();
    let position = std::fs::read(case.position_file()).unwrap();
    let folder = TempDir::new().unwrap();
    let mut other = case.open().with_claimant(crate::store::Claimant::in_folder(folder.path(), "other"));
    for _ in 0..2 {
        let error = done(other.position()).unwrap_err();
        assert!(error.what.contains("another data folder (node none)"), "{error}");
        assert!(error.hint.unwrap().contains("a separate log file"));
    }
    assert_eq!(std::fs::read_to_string(&case.path).unwrap(), text);
    assert_eq!(std::fs::read(case.position_file()).unwrap(), position);
}

#[test]
fn newer_format_is_rejected_and_not_overwritten() {
    let case = Shared::new();
    fill(&mut case.open(), 4);
    let mut bytes = std::fs::read(case.position_file()).unwrap();
    for slot in [0, 4096] {
        bytes[slot + 7] = 3;
        let checksum = crc32c::crc32c(&bytes[slot..slot + 52]);
        bytes[slot + 52..slot + 56].copy_from_slice(&checksum.to_le_bytes());
    }
    std::fs::write(case.position_file(), &bytes).unwrap();
    let error = done(case.open().position()).unwrap_err();
    assert!(error.what.contains("format 3"), "{}", error.what);
    assert_eq!(std::fs::read(case.position_file()).unwrap(), bytes);
}

#[test]
fn damaged_version_is_not_taken_for_newer() {
    let case = Shared::new();
    let mut store = case.open();
    for end in [4, 6] {
        fill(&mut store, end);
        done(store.sync()).unwrap();
    }
    drop(store);
    let mut bytes = std::fs::read(case.position_file()).unwrap();
    bytes[7] ^= 0x10;
    bytes[4096 + 7] ^= 0x10;
    std::fs::write(case.position_file(), &bytes).unwrap();
    assert_eq!(done(case.open().position()).unwrap(), 1);
    assert_eq!(read(&case.path), messages(1, 6));
}

#[test]
fn second_store_on_same_file_is_rejected() {
    let case = Shared::new();
    let mut first = case.open();
    done(first.position()).unwrap();
    let error = done(case.open().position()).unwrap_err();
    assert!(error.what.contains("another process writes to it"), "{}", error.what);
    drop(first);
    assert_eq!(done(case.open().position()).unwrap(), 1);
}

#[test]
fn symbolic_link_is_preserved() {
    let case = Shared::new();
    let real = case.folder.path().join("elsewhere");
    std::fs::create_dir(&real).unwrap();
    std::fs::write(real.join("real.log"), "").unwrap();
    std::os::unix::fs::symlink(real.join("real.log"), &case.path).unwrap();
    let mut store = FileStore::new(FileOptions { rotate_bytes: Some(1), ..options(&case.path) });
    fill(&mut store, 2);
    fill(&mut store, 3);
    assert!(case.path.is_symlink());
    assert_eq!(names(&real), ["real.log", "real.log.1"]);
    assert_eq!(read(&case.path), messages(2, 3));
}

#[test]
fn invalid_log_file_is_rejected_with_hint() {
    let case = Shared::new();
    std::fs::create_dir(&case.path).unwrap();
    for path in [case.path.as_path(), Path::new("/dev/null"), Path::new("/")] {
        let error = done(FileStore::new(options(path)).position()).unwrap_err();
        assert!(error.what.contains(&path.display().to_string()), "{}", error.what);
        assert!(error.hint.is_some_and(|hint| hint.contains("regular file")), "{}", error.what);
    }
}

#[test]
fn removed_folder_is_created_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("deep/er/app.log");
    let mut store = FileStore::new(options(&path));
    fill(&mut store, 3);
    done(store.sync()).unwrap();
    std::fs::remove_dir_all(folder.path().join("deep")).unwrap();
    assert!(done(store.maintain()).is_err());
    while done(store.position()).is_err() {}
    fill(&mut store, 5);
    assert!(path.exists());
}
