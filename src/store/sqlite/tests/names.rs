//! Dictionaries: what repeats is stored once, and is deleted once no record refers to it.

use super::*;
use crate::limits::{SQLITE_NAMES_BYTES_MAX, SQLITE_NAMES_MAX};
use crate::record::ColumnSet;
use crate::store::reader::NameSearchStep;
use crate::store::sqlite::dictionary::GENERATION_BITS;
use crate::store::sqlite::unused_names::NameSearch;

/// Writes a chunk of records that differ in their origins.
fn write(
    store: &mut SqliteStore,
    ids: std::ops::Range<RecordId>,
    fill: impl Fn(RecordId, &mut dyn FnMut(Origin<'_>)),
) {
    let mut batch = Batch::new();
    for id in ids.clone() {
        fill(id, &mut |origin| {
            batch.push(&RecordRef {
                origin,
                message: "m",
                observed_timestamp: time::now(),
                ..RecordRef::default()
            });
        });
    }
    block_on(store.write(&Chunk::of(ids.start, batch.bytes(), ids.end - ids.start))).unwrap();
}

/// Reads all records back, by slices.
fn read(subject: &SqliteSubject) -> Vec<(RecordId, [String; 8])> {
    let reader = search::SqliteReadConnection::open(&subject.path()).unwrap();
    let mut search = search_of("");
    search.query = crate::query::Query::parse("", 0).unwrap();
    search.fields = ColumnSet::ALL;
    let mut found = Vec::new();
    while !search.ids.is_empty() {
        let slice = reader.slice(&search, SQLITE_BLOCK_ROWS, |id, record| {
            let origin = record.origin;
            let numbers = format!("{} {}", origin.line, origin.process_id);
            let texts =
                [origin.service, origin.host, origin.logger, origin.file, origin.function, origin.thread];
            let [service, host, logger, file, function, thread] = texts.map(str::to_owned);
            let severity = record.severity().to_owned();
            found.push((id, [service, host, logger, file, function, thread, numbers, severity]));
            true
        });
        search.ids = slice.unwrap();
    }
    found
}

#[test]
fn value_is_in_dictionary_from_its_fourth_occurrence_on() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    write(&mut store, 1..11, |id, push| {
        let once = name(id);
        push(Origin {
            service: "s",
            host: "h",
            process_id: 7,
            logger: "l",
            file: &once,
            thread: "t",
            ..Origin::default()
        });
    });
    let count = |sql: &str| subject.query::<i64>(&format!("SELECT count(*) FROM record WHERE {sql}"));
    assert_eq!(count("sender = 0"), 7);
    assert_eq!(count("sender IS NULL AND service = 's' AND host = 'h' AND process_id = 7"), 3);
    assert_eq!(count("thread = 't'"), 3);
    assert_eq!(count("typeof(thread) = 'integer'"), 7);
    assert_eq!(count("place IS NULL AND typeof(file) = 'text'"), 10, "no combination with the file repeats");
    assert_eq!(count("typeof(logger) = 'integer'"), 7, "the logger repeats by itself");
    assert_eq!(
        subject
            .query::<i64>("SELECT count(*) FROM logs WHERE service = 's' AND logger = 'l' AND thread = 't'"),
        10
    );
    // The numbers go on after a restart.
    write(&mut subject.open(), 11..12, |_, push| {
        push(Origin { service: "s", host: "h", process_id: 7, thread: "t", ..Origin::default() });
    });
    assert_eq!(count("sender = 0"), 8);
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM sender"), 1);
}

/// All fields, each repeated, unique and absent, come back as they were written, before and after a
/// border of generations, and from dictionaries that are full.
#[test]
fn records_come_back_whatever_dictionaries_have() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    let border = 1 << GENERATION_BITS;
    let long = "x".repeat(SQLITE_NAMES_BYTES_MAX / 16);
    let texts = |id: RecordId| {
        let text = |field: u64| match (id / 7 + field * 3) % 5 {
            0 => String::new(),
            1 => format!("few {}", id % 7),
            2 => name(id * 8 + field),
            3 => format!("many {}", id % 3000),
            _ if id.is_multiple_of(1009) => format!("{long} {}", id % 64),
            _ => format!("\u{fc} {}", id % 40),
        };
        std::array::from_fn::<_, 7, _>(|field| text(field as u64))
    };
    let severities = ["", "INFO", "WARNING", "info", "critical", "Notice", "own", "error"];
    let ids = border - 15_000..border + 15_000;
    let mut expected = Vec::new();
    for first in ids.clone().step_by(5000) {
        let mut batch = Batch::new();
        for id in first..first + 5000 {
            let [service, host, logger, file, function, thread, event_name] = &texts(id);
            let severity_text = severities[id as usize % severities.len()];
            let origin = Origin {
                service,
                host,
                logger,
                file,
                function,
                thread,
                severity_text,
                line: (id % 401) as u32,
                process_id: (id % 5 * 1_000_000) as u32,
            };
            let severity_number = (id / 3 % 25) as u8;
            let record =
                RecordRef { origin, event_name, severity_number, message: "m", ..RecordRef::default() };
            batch.push(&record);
            let fields = [service, host, logger, file, function, thread].map(String::clone);
            let [service, host, logger, file, function, thread] = fields;
            let numbers = format!("{} {}", origin.line, origin.process_id);
            expected.push((
                id,
                [service, host, logger, file, function, thread, numbers, record.severity().to_owned()],
            ));
        }
        block_on(store.position()).unwrap();
        block_on(store.write(&Chunk::of(first, batch.bytes(), 5000))).unwrap();
    }
    let found = read(&subject);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    let flat = "SELECT json_array(coalesce(service, ''), coalesce(host, ''), coalesce(logger, ''), coalesce(file, ''),
        coalesce(function, ''), coalesce(thread, ''), coalesce(line, 0) || ' ' || coalesce(process_id, 0), coalesce(severity, ''))
        FROM logs ORDER BY id";
    let connection = Connection::open(subject.path()).unwrap();
    let mut select = connection.prepare(flat).unwrap();
    let rows = select.query_map([], |row| row.get::<_, String>(0)).unwrap();
    for (row, (_, expected)) in rows.zip(&expected) {
        assert_eq!(serde_json::from_str::<[String; 8]>(&row.unwrap()).unwrap(), *expected);
    }
}

#[test]
fn full_dictionary_leaves_values_in_rows() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    let most = RecordId::from(SQLITE_NAMES_MAX) + 2000;
    for round in 0..4 {
        let first = 1 + round * most;
        write(&mut store, first..first + most, |id, push| {
            push(Origin { thread: &name((id - 1) % most), ..Origin::default() });
        });
    }
    assert_eq!(subject.query::<u16>("SELECT count(*) FROM word"), SQLITE_NAMES_MAX);
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM record WHERE thread IS NULL"), 0);
    let threads = "SELECT count(*) FROM (SELECT thread FROM logs GROUP BY thread HAVING count(*) = 4)";
    assert_eq!(subject.query::<u64>(threads), most);
}

#[test]
fn retention_deletes_dictionaries_with_their_generation() {
    let subject = SqliteSubject::new();
    let mut store = subject.with(Retention { age: Some(Duration::from_secs(3600)), bytes: None });
    let old = time::now() - 61 * 60 * time::SECOND;
    let border = 1 << GENERATION_BITS;
    for (first, observed_timestamp) in [(border - 9999, old), (border + 1, time::now())] {
        let mut batch = Batch::new();
        for id in first..first + 10_000 {
            let thread = format!("thread {}", id % 50);
            let origin = Origin { service: "s", logger: "l", thread: &thread, ..Origin::default() };
            batch.push(&RecordRef { observed_timestamp, origin, message: "m", ..RecordRef::default() });
        }
        block_on(store.position()).unwrap();
        block_on(store.write(&Chunk::of(first, batch.bytes(), 10_000))).unwrap();
    }
    let rows = |table| subject.query::<i64>(&format!("SELECT count(*) FROM {table}"));
    assert_eq!([rows("sender"), rows("place"), rows("word")], [2, 2, 100]);
    maintain_all(&mut store);
    assert_eq!(subject.query::<u64>("SELECT min(id) FROM logs"), border + 1);
    assert_eq!([rows("sender"), rows("place"), rows("word")], [1, 1, 50]);
    assert_eq!(
        subject.query::<i64>("SELECT count(*) FROM logs WHERE service = 's' AND thread LIKE 'thread %'"),
        10_000
    );
}

/// Names that are unique in each record are freed with the record.
#[test]
fn retention_by_size_holds_with_unique_names() {
    const BYTES_MAX: u64 = 6 << 20;
    let subject = SqliteSubject::new();
    let mut store = subject.with(Retention { age: None, bytes: Some(BYTES_MAX) });
    for from in (1..90_001).step_by(10_000) {
        write(&mut store, from..from + 10_000, |id, push| {
            push(Origin { thread: &name(id), service: "s", ..Origin::default() });
        });
        maintain_all(&mut store);
    }
    let used = "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
    assert!(subject.query::<u64>(used) <= BYTES_MAX);
    let kept: u64 = subject.query("SELECT count(*) FROM logs");
    assert!(kept > 30_000, "{kept} records are left");
    assert_eq!(subject.query::<i64>("SELECT count(*) = max(id) - min(id) + 1 FROM logs"), 1);
}

/// Only the generations in which records were deleted are examined.
#[test]
fn unused_names_are_found_by_generation() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    let border: RecordId = 1 << GENERATION_BITS;
    for first in [border - 2999, border + 1] {
        block_on(store.position()).unwrap();
        write(&mut store, first..first + 3000, |id, push| {
            push(Origin { thread: &format!("thread {}", id % 100), ..Origin::default() });
        });
    }
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM word"), 200);
    let doomed = (border + 1..border + 3001).filter(|id| id % 100 < 10);
    for chunk in doomed.collect::<Vec<_>>().chunks(100) {
        block_on(store.delete(&to_delete(chunk.iter().copied()))).unwrap();
    }
    let unused = unused_names(&subject);
    assert_eq!(unused.iter().map(|names| names.ids.len()).sum::<usize>(), 10);
    // A record that is stored in the meantime keeps its name.
    write(&mut store, border + 3001..border + 3002, |_, push| {
        push(Origin { thread: "thread 5", ..Origin::default() });
    });
    for names in &unused {
        block_on(store.delete_names(names)).unwrap();
    }
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM word"), 191);
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs WHERE thread = 'thread 5'"), 31);
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs WHERE thread IS NULL"), 0);
    // A deleted name may come again.
    block_on(store.position()).unwrap();
    write(&mut store, border + 3002..border + 3102, |id, push| {
        push(Origin { thread: &format!("thread {}", id % 10), ..Origin::default() });
    });
    assert_eq!(subject.query::<i64>("SELECT count(*) FROM logs WHERE thread = 'thread 6'"), 40);
}

/// Returns the names that no record refers to.
pub(super) fn unused_names(subject: &SqliteSubject) -> Vec<UnusedNames> {
    let reader = search::SqliteReadConnection::open(&subject.path()).unwrap();
    let (mut search, mut unused) = (NameSearch::default(), Vec::new());
    loop {
        match search.step(&reader, 500).unwrap() {
            NameSearchStep::Searching => {}
            NameSearchStep::Waiting => panic!("there is no migration"),
            NameSearchStep::Found(found) => unused.push(found),
            NameSearchStep::Done => return unused,
        }
    }
}

/// A row has nothing for columns at its end that are NULL, from the first connection on.
#[test]
fn absent_columns_at_the_end_take_no_room() {
    let subject = SqliteSubject::new();
    block_on(subject.open().write(&aged_chunk(1, 3001, 0))).unwrap();
    let payload = "SELECT sum(payload) FROM dbstat WHERE name = 'record' AND pagetype = 'leaf'";
    // The length of the header, a type for each column up to the message, and the message.
    let expected = "SELECT sum(1 + 8 + octet_length(message)) FROM record";
    assert_eq!(subject.query::<i64>(payload), subject.query::<i64>(expected));
}

/// The same number stands for another name in the next generation, and one slice may reach across
/// the border.
#[test]
fn search_uses_the_dictionaries_of_each_generation() {
    let subject = SqliteSubject::new();
    let mut store = subject.open();
    let border: RecordId = 1 << GENERATION_BITS;
    for (first, threads) in [(border - 999, ["one", "two"]), (border + 1, ["two", "one"])] {
        block_on(store.position()).unwrap();
        write(&mut store, first..first + 1000, |id, push| {
            push(Origin { thread: threads[id as usize / 500 % 2], ..Origin::default() });
        });
    }
    let expected = subject.query::<i64>("SELECT count(*) FROM logs WHERE thread = 'one'");
    assert!(expected > 900);
    let reader = search::SqliteReadConnection::open(&subject.path()).unwrap();
    for descending in [false, true] {
        let mut search =
            crate::store::Search { descending, fields: ColumnSet::ALL, ..search_of("thread:one") };
        let mut found = 0;
        while !search.ids.is_empty() {
            let slice = reader.slice(&search, 4 * SQLITE_BLOCK_ROWS, |_, record| {
                assert_eq!(record.origin.thread, "one");
                found += 1;
                true
            });
            search.ids = slice.unwrap();
        }
        assert_eq!(found, expected);
    }
}
