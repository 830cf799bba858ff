//! Bounds the memory, the temporary files and the time of a statement that a client writes,
//! whatever the text of the statement is.
//!
//! SQLite has bounds for one value and for the text of a statement, but none for the total that one
//! statement uses. Two tables of functions allow the program to add such bounds: the allocator of
//! SQLite, and the file system of a connection (a VFS). The functions here charge what a confined
//! statement uses to an account, and refuse what exceeds its bounds. SQLite then ends that
//! statement with `SQLITE_NOMEM` or `SQLITE_FULL`; SQLite is written to survive both at any place.
//!
//! - A thread runs one confined statement at a time ([`Confinement::run`]); the thread determines
//!   which account is charged. Other threads, and the same thread at other times, have no bound:
//!   the store's own connection never fails for lack of memory that a reader uses.
//! - Each allocation has a header with its length and its account, so that memory that another
//!   thread frees is credited to the account that was charged for it.
//! - Large allocations and writes also check the clock: functions on long values allocate, but call
//!   no progress handler.
//!
//! [`bound_allocator`] and [`trim_allocator`] bound the memory that the C library's allocator keeps
//! after the rest of the program has freed it.
//!
//! This is the only module with `unsafe`: both tables are C structures with pointers to functions,
//! and the allocator has a C function for its settings. What the code relies on is stated beside
//! each block.

#![allow(unsafe_code, reason = "the allocator and the file system of SQLite are tables of C functions")]

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::path::PathBuf;
use std::ptr::{from_ref, null, null_mut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::time::Instant;

use rusqlite::ffi;
use rustix::fs::{Access, access, statvfs};

#[cfg(target_env = "gnu")]
use crate::limits::{ALLOCATOR_ARENAS_MAX, ALLOCATOR_MAPPED_BYTES_MIN};
use crate::limits::{
    SQL_ACCOUNTS_MAX, SQL_CLOCK_BYTES, SQL_MEMORY_BYTES_MAX, SQL_TEMPORARY_BYTES_MAX,
    SQL_TEMPORARY_FREE_BYTES_MIN, SQL_TEMPORARY_TOTAL_BYTES_MAX, SQL_VALUE_BYTES_MAX,
};

/// The file system of connections whose statements are confined: SQLite's own file system, with
/// bounds on temporary files.
pub(crate) const FILE_SYSTEM: &CStr = c"logboom-confined";

/// What was refused to a confined statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// More memory than [`SQL_MEMORY_BYTES_MAX`].
    Memory,
    /// More temporary space than [`SQL_TEMPORARY_BYTES_MAX`].
    TemporarySpace,
    /// Temporary space that other statements use.
    TemporarySpaceOfAll,
    /// Temporary space on a disk that has little left.
    DiskSpace,
    /// More time than its deadline allows.
    Time,
}

/// What the statements that are charged to this account have allocated and not released.
struct Account {
    is_taken: AtomicBool,
    memory_bytes: AtomicI64,
    temporary_bytes: AtomicI64,
}

/// The accounts. Number 0 stands for everything that is not confined: nothing is charged to it.
static ACCOUNTS: [Account; SQL_ACCOUNTS_MAX + 1] = [const { Account::new() }; SQL_ACCOUNTS_MAX + 1];

/// Bytes in the temporary files of all accounts.
static TEMPORARY_BYTES: AtomicI64 = AtomicI64::new(0);

thread_local! {
    /// What the thread currently runs. Nothing here has a destructor, so it can be used for as long
    /// as the thread runs.
    static CURRENT: Current = const { Current::new() };
}

struct Current {
    /// The number of the account, or 0.
    account: Cell<u32>,
    /// Bytes of memory that may currently be used beyond the bound.
    reserve_bytes: Cell<i64>,
    deadline: Cell<Option<Instant>>,
    /// Bytes until the next check of the clock.
    clock_bytes: Cell<i64>,
    refused: Cell<Option<Refused>>,
}

impl Account {
    const fn new() -> Account {
        Account {
            is_taken: AtomicBool::new(false),
            memory_bytes: AtomicI64::new(0),
            temporary_bytes: AtomicI64::new(0),
        }
    }
}

impl Current {
    const fn new() -> Current {
        Current {
            account: Cell::new(0),
            reserve_bytes: Cell::new(0),
            deadline: Cell::new(None),
            clock_bytes: Cell::new(0),
            refused: Cell::new(None),
        }
    }

    /// Keeps the first reason, which is the one that a person can act on. Returns false.
    fn refuse(&self, reason: Refused) -> bool {
        self.refused.set(self.refused.get().or(Some(reason)));
        false
    }

    fn is_in_time(&self) -> bool {
        let is_late = self.deadline.get().is_some_and(|deadline| Instant::now() >= deadline);
        !is_late || self.refuse(Refused::Time)
    }

    /// Does the same as `is_in_time`, but checks the clock only once in a while.
    fn is_in_time_after(&self, bytes: usize) -> bool {
        let left = self.clock_bytes.get() - bytes as i64 - 64; // small allocations take time too
        if left > 0 {
            self.clock_bytes.set(left);
            return true;
        }
        self.clock_bytes.set(SQL_CLOCK_BYTES);
        self.is_in_time()
    }

    /// Charges memory to the account of this thread, which has a bound. Returns false if it is
    /// refused.
    fn admit_memory(&self, bytes: usize) -> bool {
        let account = self.account.get();
        if account == 0 {
            return true;
        }
        if !self.is_in_time_after(bytes) {
            return false;
        }
        let used = &ACCOUNTS[account as usize].memory_bytes;
        let bound = SQL_MEMORY_BYTES_MAX + self.reserve_bytes.get();
        if used.fetch_add(bytes as i64, Relaxed) + bytes as i64 <= bound {
            return true;
        }
        used.fetch_sub(bytes as i64, Relaxed);
        self.refuse(Refused::Memory)
    }

    /// Charges the growth of a temporary file to an account. Returns false if it is refused.
    fn admit_temporary(&self, account: u32, before: i64, after: i64) -> bool {
        if account == 0 {
            return true;
        }
        if !self.is_in_time() {
            return false;
        }
        let step = SQL_CLOCK_BYTES;
        if before / step != after / step && !has_disk_space() {
            return self.refuse(Refused::DiskSpace);
        }
        let growth = after - before;
        let used = &ACCOUNTS[account as usize].temporary_bytes;
        let reason = if used.fetch_add(growth, Relaxed) + growth > SQL_TEMPORARY_BYTES_MAX {
            Refused::TemporarySpace
        } else if TEMPORARY_BYTES.fetch_add(growth, Relaxed) + growth > SQL_TEMPORARY_TOTAL_BYTES_MAX {
            TEMPORARY_BYTES.fetch_sub(growth, Relaxed);
            Refused::TemporarySpaceOfAll
        } else {
            return true;
        };
        used.fetch_sub(growth, Relaxed);
        self.refuse(reason)
    }
}

fn charge_memory(account: u32, bytes: i64) {
    if account != 0 {
        ACCOUNTS[account as usize].memory_bytes.fetch_add(bytes, Relaxed);
    }
}

fn credit_temporary(account: u32, bytes: i64) {
    if account != 0 {
        ACCOUNTS[account as usize].temporary_bytes.fetch_sub(bytes, Relaxed);
        TEMPORARY_BYTES.fetch_sub(bytes, Relaxed);
    }
}

/// Returns true if the disk of temporary files has more space left than the store and the spool may
/// need soon.
fn has_disk_space() -> bool {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let Some(folder) = FOLDER.get_or_init(temporary_folder) else { return true };
    statvfs(folder).map_or(true, |disk| disk.f_bavail * disk.f_frsize >= SQL_TEMPORARY_FREE_BYTES_MIN)
}

/// Returns the folder in which SQLite creates temporary files.
fn temporary_folder() -> Option<PathBuf> {
    let named = ["SQLITE_TMPDIR", "TMPDIR"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    let usual = ["/var/tmp", "/usr/tmp", "/tmp", "."].map(PathBuf::from);
    let is_usable =
        |folder: &PathBuf| folder.is_dir() && access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    named.chain(usual).find(is_usable)
}

/// An account for one statement. Dropping this frees the account, so the connection of the
/// statement has to be closed before.
pub(crate) struct Confinement {
    account: u32,
}

impl Drop for Confinement {
    fn drop(&mut self) {
        ACCOUNTS[self.account as usize].is_taken.store(false, Relaxed);
    }
}

impl Confinement {
    /// Takes a free account; returns `None` if all are taken.
    pub(crate) fn new() -> Option<Confinement> {
        let is_free = |account: &Account| !account.is_taken.swap(true, Relaxed);
        let free = ACCOUNTS.iter().skip(1).position(is_free)?;
        Some(Confinement { account: free as u32 + 1 })
    }

    /// Runs some work with SQLite on this thread, within the bounds. Also returns what was refused.
    pub(crate) fn run<T>(&self, deadline: Instant, work: impl FnOnce() -> T) -> (T, Option<Refused>) {
        /// Removes the bounds from the thread, also after a panic.
        struct Leave;
        impl Drop for Leave {
            fn drop(&mut self) {
                CURRENT.with(|current| current.account.set(0));
            }
        }
        let _leave = Leave;
        CURRENT.with(|current| {
            current.refused.set(None);
            current.reserve_bytes.set(0);
            current.clock_bytes.set(0);
            current.deadline.set(Some(deadline));
            current.account.set(self.account);
        });
        let result = work();
        (result, CURRENT.with(|current| current.refused.get()))
    }
}

/// Returns true if the time of the statement that this thread runs is over.
pub(crate) fn is_late() -> bool {
    CURRENT.with(|current| current.account.get() != 0 && !current.is_in_time())
}

/// Reads one value, which SQLite may copy for that purpose. The copy must not fail, so there is a
/// reserve for the longest value. Returns `None` if the bound is exceeded already.
pub(crate) fn with_reserve<T>(read: impl FnOnce() -> T) -> Option<T> {
    CURRENT.with(|current| {
        let used = ACCOUNTS[current.account.get() as usize].memory_bytes.load(Relaxed);
        if used > SQL_MEMORY_BYTES_MAX {
            current.refuse(Refused::Memory);
            return None;
        }
        let deadline = current.deadline.take();
        current.reserve_bytes.set(2 * i64::from(SQL_VALUE_BYTES_MAX));
        let result = read();
        current.reserve_bytes.set(0);
        current.deadline.set(deadline);
        Some(result)
    })
}

/// Bounds the memory that glibc's allocator keeps after it was freed; must be called before the
/// first thread starts. By default each thread has an arena of its own, and the size from which a
/// block is mapped (and unmapped when it is freed) rises with use up to 32 MiB: of 84 MiB that were
/// resident under full load, 38 MiB were in use. Other C libraries have no such settings.
pub(crate) fn bound_allocator() {
    #[cfg(target_env = "gnu")]
    {
        // The values of `malloc.h`.
        const M_TRIM_THRESHOLD: c_int = -1;
        const M_MMAP_THRESHOLD: c_int = -3;
        const M_ARENA_MAX: c_int = -8;
        unsafe extern "C" {
            fn mallopt(parameter: c_int, value: c_int) -> c_int;
        }
        let settings = [
            (M_ARENA_MAX, ALLOCATOR_ARENAS_MAX),
            (M_MMAP_THRESHOLD, ALLOCATOR_MAPPED_BYTES_MIN),
            (M_TRIM_THRESHOLD, ALLOCATOR_MAPPED_BYTES_MIN),
        ];
        for (parameter, value) in settings {
            // SAFETY: `mallopt` takes two numbers, and locks what it changes. It refuses parameters
            // that it does not know, and the program works without them.
            unsafe { mallopt(parameter, value) };
        }
    }
}

/// Returns whole pages of freed memory to the system, in all arenas. This takes some milliseconds,
/// in which other threads cannot allocate.
pub(crate) fn trim_allocator() {
    #[cfg(target_env = "gnu")]
    {
        unsafe extern "C" {
            fn malloc_trim(padding: usize) -> c_int;
        }
        // SAFETY: `malloc_trim` takes a number, locks each arena while it works there, and touches
        // only memory that is free.
        unsafe { malloc_trim(0) };
    }
}

/// Installs both tables of functions; must be called before SQLite is used for the first time.
/// Returns false if it was too late for that.
pub(crate) fn install() -> bool {
    static IS_INSTALLED: OnceLock<bool> = OnceLock::new();
    *IS_INSTALLED.get_or_init(|| install_allocator() && install_file_system())
}

fn install_allocator() -> bool {
    let methods = ffi::sqlite3_mem_methods {
        xMalloc: Some(allocate),
        xFree: Some(free),
        xRealloc: Some(reallocate),
        xSize: Some(size),
        xRoundup: Some(round_up),
        xInit: Some(initialize),
        xShutdown: Some(shut_down),
        pAppData: null_mut(),
    };
    // SAFETY: the argument of SQLITE_CONFIG_MALLOC is a pointer to such a structure, which SQLite
    // copies. Once SQLite is in use it refuses the call, so no memory is ever freed by other
    // functions than those that allocated it.
    unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, from_ref(&methods)) == ffi::SQLITE_OK }
}

/// The header before each allocation. SQLite needs an alignment of 8 bytes.
#[repr(C, align(8))]
struct Header {
    bytes: u32,
    account: u32,
}

const HEADER_BYTES: usize = size_of::<Header>();

/// Returns the layout of an allocation with its header. SQLite allocates less than 2 GiB at once,
/// and never a negative length.
fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes + HEADER_BYTES, align_of::<Header>()).ok()
}

unsafe extern "C" fn allocate(bytes: c_int) -> *mut c_void {
    let bytes = bytes.max(0) as usize;
    let Some(layout) = layout(bytes) else { return null_mut() };
    let account = CURRENT.with(|current| current.account.get());
    if !CURRENT.with(|current| current.admit_memory(bytes)) {
        return null_mut();
    }
    // SAFETY: the layout has at least a header, so it is not empty.
    let header = unsafe { alloc(layout) }.cast::<Header>();
    if header.is_null() {
        charge_memory(account, -(bytes as i64));
        return null_mut();
    }
    // SAFETY: the memory has room for a header, aligned as the layout requires, and for `bytes`
    // after it.
    unsafe {
        header.write(Header { bytes: bytes as u32, account });
        header.add(1).cast()
    }
}

/// Returns the header of an allocation.
///
/// # Safety
///
/// `memory` was returned by [`allocate`] or [`reallocate`], and was not freed.
unsafe fn header(memory: *mut c_void) -> *mut Header {
    // SAFETY: both functions return the address after a header.
    unsafe { memory.cast::<Header>().sub(1) }
}

unsafe extern "C" fn free(memory: *mut c_void) {
    if memory.is_null() {
        return;
    }
    // SAFETY: SQLite frees what it has allocated, once; the header has the length with which the
    // memory was allocated.
    unsafe {
        let header = header(memory);
        let Header { bytes, account } = header.read();
        if let Some(layout) = layout(bytes as usize) {
            dealloc(header.cast(), layout);
            charge_memory(account, -i64::from(bytes));
        }
    }
}

unsafe extern "C" fn reallocate(memory: *mut c_void, bytes: c_int) -> *mut c_void {
    let bytes = bytes.max(0) as usize;
    // SAFETY: SQLite passes what it has allocated and not freed.
    let old = unsafe { header(memory) };
    // SAFETY: the memory was not freed, so its header is valid.
    let Header { bytes: old_bytes, account } = unsafe { old.read() };
    let old_bytes = old_bytes as usize;
    let (Some(old_layout), Some(_)) = (layout(old_bytes), layout(bytes)) else { return null_mut() };
    let growth = bytes.saturating_sub(old_bytes);
    // Memory that another thread has allocated stays on its account, and memory that is not charged
    // stays uncharged.
    let is_own = account != 0 && CURRENT.with(|current| current.account.get()) == account;
    if is_own && !CURRENT.with(|current| current.admit_memory(growth)) {
        return null_mut();
    }
    if !is_own {
        charge_memory(account, growth as i64);
    }
    // SAFETY: the layout is that of the allocation, and the new length is valid for it.
    let header = unsafe { realloc(old.cast(), old_layout, bytes + HEADER_BYTES) }.cast::<Header>();
    if header.is_null() {
        charge_memory(account, -(growth as i64));
        return null_mut();
    }
    charge_memory(account, -(old_bytes.saturating_sub(bytes) as i64));
    // SAFETY: the memory has room for a header, aligned as the layout requires, and for `bytes`
    // after it.
    unsafe {
        header.write(Header { bytes: bytes as u32, account });
        header.add(1).cast()
    }
}

unsafe extern "C" fn size(memory: *mut c_void) -> c_int {
    if memory.is_null() {
        return 0;
    }
    // SAFETY: SQLite passes what it has allocated and not freed.
    unsafe { (*header(memory)).bytes as c_int }
}

unsafe extern "C" fn round_up(bytes: c_int) -> c_int {
    bytes.saturating_add(7) & !7
}

unsafe extern "C" fn initialize(_: *mut c_void) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn shut_down(_: *mut c_void) {}

/// The state of a temporary file, stored after the state of SQLite's own file system.
#[repr(C, align(8))]
struct FileState {
    bytes: i64,
    account: u32,
}

/// SQLite's own file system.
struct Original {
    file_system: *const ffi::sqlite3_vfs,
    file_state_offset: usize,
}

// SAFETY: the file system is registered for as long as the program runs, and only read.
unsafe impl Send for Original {}
// SAFETY: the file system is registered for as long as the program runs, and only read.
unsafe impl Sync for Original {}

static ORIGINAL: OnceLock<Original> = OnceLock::new();

/// The functions for a kind of file: SQLite's own, and the same with those of this module.
struct Methods {
    address: usize,
    plain: ffi::sqlite3_io_methods,
    confined: ffi::sqlite3_io_methods,
}

static OF_DATABASES: OnceLock<Methods> = OnceLock::new();
static OF_TEMPORARY_FILES: OnceLock<Methods> = OnceLock::new();

fn install_file_system() -> bool {
    // SAFETY: a null name selects the default file system, which stays registered.
    let file_system = unsafe { ffi::sqlite3_vfs_find(null()) };
    if file_system.is_null() {
        return false;
    }
    // SAFETY: `file_system` points to a valid structure, of which a copy is made. All its functions
    // receive the copy, and use its data as their own.
    let mut copy = unsafe { *file_system };
    let file_state_offset = (copy.szOsFile as usize).next_multiple_of(align_of::<FileState>());
    ORIGINAL.get_or_init(|| Original { file_system, file_state_offset });
    copy.szOsFile = (file_state_offset + size_of::<FileState>()) as c_int;
    copy.zName = FILE_SYSTEM.as_ptr();
    copy.pNext = null_mut();
    copy.xOpen = Some(open);
    // SAFETY: the copy lives as long as the program.
    unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(copy)), 0) == ffi::SQLITE_OK }
}

unsafe extern "C" fn open(
    file_system: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    let Some(original) = ORIGINAL.get() else { return ffi::SQLITE_CANTOPEN };
    // SAFETY: SQLite's own function receives the arguments that it would receive without this
    // module.
    let result = unsafe {
        match (*original.file_system).xOpen {
            Some(open) => open(file_system, name, file, flags, flags_out),
            None => return ffi::SQLITE_CANTOPEN,
        }
    };
    if result != ffi::SQLITE_OK {
        return result;
    }
    let is_temporary = flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0;
    let methods = match is_temporary {
        true => &OF_TEMPORARY_FILES,
        false if flags & ffi::SQLITE_OPEN_MAIN_DB != 0 => &OF_DATABASES,
        false => return result, // the write-ahead log: the store bounds its length
    };
    // SAFETY: after success the file has a table of functions, which lives as long as the program.
    // There is room for the state after what SQLite's file system needs, because `szOsFile`
    // includes both.
    unsafe {
        let address = (*file).pMethods.addr();
        let plain = *(*file).pMethods;
        let confined = match is_temporary {
            // Version 1 lacks the functions by which files grow unnoticed.
            true => {
                let (write, truncate, close) = (Some(write as _), Some(truncate as _), Some(close as _));
                ffi::sqlite3_io_methods {
                    iVersion: 1,
                    xWrite: write,
                    xTruncate: truncate,
                    xClose: close,
                    ..plain
                }
            }
            false => ffi::sqlite3_io_methods { xRead: Some(read), ..plain },
        };
        let methods = methods.get_or_init(|| Methods { address, plain, confined });
        if methods.address == address {
            state(file).write(FileState { bytes: 0, account: CURRENT.with(|current| current.account.get()) });
            (*file).pMethods = &methods.confined;
        } else if is_temporary {
            // There is one table for all temporary files. If there were another, its files would
            // have no bound.
            if let Some(close) = plain.xClose {
                close(file);
            }
            (*file).pMethods = null();
            return ffi::SQLITE_CANTOPEN;
        }
    }
    result
}

/// Returns the state of a temporary file.
///
/// # Safety
///
/// `file` was opened by [`open`].
unsafe fn state(file: *mut ffi::sqlite3_file) -> *mut FileState {
    let offset = ORIGINAL.get().map_or(0, |original| original.file_state_offset);
    // SAFETY: SQLite has allocated `szOsFile` bytes for the file, aligned to 8.
    unsafe { file.cast::<u8>().add(offset).cast() }
}

/// Checks the clock before reading, because reading a large table may be one step of SQLite's
/// virtual machine.
unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    data: *mut c_void,
    bytes: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    let Some(read) = OF_DATABASES.get().and_then(|methods| methods.plain.xRead) else {
        return ffi::SQLITE_IOERR;
    };
    let is_in_time =
        |current: &Current| current.account.get() == 0 || current.is_in_time_after(bytes.max(0) as usize);
    if !CURRENT.with(is_in_time) {
        return ffi::SQLITE_IOERR;
    }
    // SAFETY: SQLite's own function receives the arguments that it would receive without this
    // module.
    unsafe { read(file, data, bytes, offset) }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    data: *const c_void,
    bytes: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    let Some(write) = OF_TEMPORARY_FILES.get().and_then(|methods| methods.plain.xWrite) else {
        return ffi::SQLITE_IOERR;
    };
    // SAFETY: only files with a state have this function, and SQLite uses a file on one thread at a
    // time.
    let state = unsafe { &mut *state(file) };
    let end = offset.saturating_add(i64::from(bytes)).max(state.bytes);
    let before = state.bytes;
    if end > before && !CURRENT.with(|current| current.admit_temporary(state.account, before, end)) {
        return ffi::SQLITE_FULL;
    }
    state.bytes = end; // a write that fails may have written a part
    // SAFETY: SQLite's own function receives the arguments that it would receive without this
    // module.
    unsafe { write(file, data, bytes, offset) }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, bytes: ffi::sqlite3_int64) -> c_int {
    let Some(truncate) = OF_TEMPORARY_FILES.get().and_then(|methods| methods.plain.xTruncate) else {
        return ffi::SQLITE_IOERR;
    };
    // SAFETY: SQLite's own function receives the arguments that it would receive without this
    // module.
    let result = unsafe { truncate(file, bytes) };
    // SAFETY: only files with a state have this function, and SQLite uses a file on one thread at a
    // time.
    let state = unsafe { &mut *state(file) };
    if result == ffi::SQLITE_OK && bytes < state.bytes {
        credit_temporary(state.account, state.bytes - bytes);
        state.bytes = bytes;
    }
    result
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let Some(close) = OF_TEMPORARY_FILES.get().and_then(|methods| methods.plain.xClose) else {
        return ffi::SQLITE_IOERR;
    };
    // SAFETY: only files with a state have this function, and the state is not used after this.
    unsafe {
        let FileState { bytes, account } = state(file).read();
        credit_temporary(account, bytes);
        close(file)
    }
}

#[cfg(test)]
mod tests;
