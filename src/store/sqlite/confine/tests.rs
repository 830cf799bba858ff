//! The bounds of statements.

use std::path::Path;
use std::time::Duration;

use super::*;

fn later() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

fn used(confinement: &Confinement) -> i64 {
    ACCOUNTS[confinement.account as usize].memory_bytes.load(Relaxed)
}

fn take(bytes: c_int) -> *mut c_void {
    // SAFETY: `allocate` accepts any length.
    unsafe { allocate(bytes) }
}

fn give_back(memory: *mut c_void) {
    // SAFETY: the tests pass memory that they have allocated, once.
    unsafe { free(memory) };
}

#[test]
fn memory_freed_by_other_thread_is_credited_to_its_account() {
    let confinement = Confinement::new().unwrap();
    let before = used(&confinement);
    let (memory, refused) = confinement.run(later(), || {
        let memory = take(1000);
        // SAFETY: the memory was just allocated with the requested length.
        unsafe {
            assert_eq!(size(memory), 1000);
            memory.cast::<u8>().write_bytes(7, 1000);
        }
        // SAFETY: the memory was allocated here and not freed.
        let memory = unsafe { reallocate(memory, 5000) };
        // SAFETY: the bytes that were there before the memory grew are still there.
        unsafe { assert_eq!(memory.cast::<u8>().add(999).read(), 7) };
        memory.expose_provenance()
    });
    assert_eq!((used(&confinement) - before, refused), (5000, None));
    std::thread::spawn(move || give_back(std::ptr::with_exposed_provenance_mut(memory))).join().unwrap();
    assert_eq!(used(&confinement), before);
}

#[test]
fn memory_beyond_bound_is_refused_only_if_confined() {
    let confinement = Confinement::new().unwrap();
    let before = used(&confinement);
    let bound = (SQL_MEMORY_BYTES_MAX - before) as c_int;
    let (all, refused) = confinement.run(later(), || {
        let all = take(bound);
        assert!(!all.is_null());
        assert!(take(1).is_null());
        // SAFETY: the memory was just allocated.
        assert!(unsafe { reallocate(all, bound + 1) }.is_null());
        all
    });
    assert_eq!(refused, Some(Refused::Memory));
    let other = take(2 << 20);
    assert!(!other.is_null(), "what is not confined has no bound");
    give_back(all);
    give_back(other);
    assert_eq!(used(&confinement), before);
}

#[test]
fn large_allocations_fail_after_deadline() {
    let confinement = Confinement::new().unwrap();
    let (memory, refused) = confinement.run(Instant::now(), || take(SQL_CLOCK_BYTES as c_int));
    assert_eq!((memory, refused), (null_mut(), Some(Refused::Time)));
}

#[test]
fn temporary_files_are_counted_and_bounded() {
    assert!(install());
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("a.db");
    drop(rusqlite::Connection::open(&path).unwrap());
    let confinement = Confinement::new().unwrap();
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = rusqlite::Connection::open_with_flags_and_vfs(&path, flags, FILE_SYSTEM).unwrap();
    let account = &ACCOUNTS[confinement.account as usize];
    let sorted = |rows: u32| {
        let sql = format!(
            "with recursive c(n) as (select 1 union all select n + 1 from c limit {rows}) \
             select count(*) from (select n, hex(randomblob(500)) x from c order by x limit 1000000000)"
        );
        confinement.run(later(), || connection.query_row(&sql, [], |row| row.get::<_, i64>(0)))
    };
    let (count, refused) = sorted(20_000);
    assert_eq!((count.unwrap(), refused), (20_000, None));
    assert_eq!(account.temporary_bytes.load(Relaxed), 0, "its files are closed");
    account.temporary_bytes.fetch_add(SQL_TEMPORARY_BYTES_MAX - (1 << 20), Relaxed);
    let (count, refused) = sorted(20_000);
    assert!(count.is_err());
    assert_eq!(refused, Some(Refused::TemporarySpace));
    account.temporary_bytes.fetch_sub(SQL_TEMPORARY_BYTES_MAX - (1 << 20), Relaxed);
    drop(connection);
    assert_eq!((account.temporary_bytes.load(Relaxed), account.memory_bytes.load(Relaxed)), (0, 0));
}

/// Only this module lifts the lint.
#[test]
fn no_other_module_is_unsafe() {
    fn files(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => files(&path, found),
                false => found.push(path),
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    files(&root.join("src"), &mut found);
    let lifts = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.contains(concat!("allow(", "unsafe_code")) || text.contains(concat!("expect(", "unsafe_code"))
    };
    found.retain(lifts);
    assert_eq!(found, [root.join("src/store/sqlite/confine.rs")]);
}
