//! Statements of `sql` on SQLite.

use tokio::sync::Semaphore;

use super::*;
use crate::limits::{SQL_ANSWERS_KIB_MAX, SQL_PATTERN_BYTES_MAX};

const HOUR: Duration = Duration::from_secs(3600);

fn new_rows() -> StatementRows {
    StatementRows::new(10, &Arc::new(Semaphore::new(SQL_ANSWERS_KIB_MAX)))
}

/// Returns the response to a statement or its error, and which limit it exceeded.
fn ask(sql: &str, threads: Threads, duration_max: Duration) -> (Result<String, String>, Option<Refused>) {
    confine::install();
    let confinement = Confinement::new().unwrap();
    let mut connection = Connection::open_in_memory().unwrap();
    let bounds = Bounds::of(threads);
    confine(&mut connection, &bounds, &StatementStop::default()).unwrap();
    let work = || rows_of(&connection, sql, &bounds, new_rows());
    let (answer, refused) = confinement.run(Instant::now() + duration_max, work);
    drop(connection);
    let text = |answer: StatementRows| {
        let pieces = answer.finish().map_err(|_| "crowded")?;
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes.to_vec()).collect();
        Ok::<_, &str>(String::from_utf8(bytes).unwrap())
    };
    (answer.map_err(|error| error.to_string()).map(|answer| text(answer).unwrap()), refused)
}

fn answer(sql: &str) -> Result<String, String> {
    ask(sql, Threads::Many(2), HOUR).0
}

#[test]
fn row_beyond_response_size_is_truncated() {
    let answer = answer("select zeroblob(1900000), zeroblob(1900001), zeroblob(500000)").unwrap();
    assert!(answer.ends_with("\"rows\":[],\"truncated\":true}"), "{}", answer.len());
}

#[test]
fn statements_beyond_sqlite_limits_are_rejected() {
    let refused = [
        format!("select {}", ["1"; 65].join(",")),
        "select length(zeroblob(2097153))".to_owned(),
        format!("select 'a' like '{}'", "a".repeat(SQL_PATTERN_BYTES_MAX + 1)),
        format!("select 'a' glob '{}'", "a".repeat(SQL_PATTERN_BYTES_MAX + 1)),
        format!("select 1{}", "+1".repeat(250)),
        ["select 1"; 65].join(" union all "),
        format!("select coalesce({})", ["1"; 101].join(",")),
    ];
    for sql in refused {
        assert!(answer(&sql).is_err(), "{sql}");
    }
    assert!(answer("select 'a' like '%a%'").is_ok());
}

#[test]
fn functions_and_tables_with_long_steps_are_rejected() {
    for sql in ["select JSON_patch('{}', '{}')", "select * from dbstat"] {
        let error = answer(sql).unwrap_err();
        assert!(["authorized", "prohibited"].iter().any(|reason| error.contains(reason)), "{sql}: {error}");
    }
}

/// SQLite's own `instr` and `trim` need minutes for these.
#[test]
fn functions_of_two_long_values_are_fast() {
    let (text, part) = ("hex(zeroblob(900000))", "hex(zeroblob(400000))||'1'");
    for call in [format!("instr({text}, {part})"), format!("length(trim({text}||'2', {part}||'2'))")] {
        let answer = answer(&format!("select {call}")).unwrap();
        assert!(answer.contains("\"rows\":[[0]]"), "{call}");
    }
}

/// A progress handler does not notice these statements, or each of their rows takes long.
#[test]
fn clock_stops_running_statement() {
    let long = "hex(zeroblob(900000))";
    let statements = [
        "with recursive c(n) as (select 1 union all select n + 1 from c) select sum(length(hex(randomblob(1000000)))) from c"
            .to_owned(),
        format!("select {}", ["hex(randomblob(900000)) = 1"; 190].join("+")),
        format!("select {long} like '%{}1'", "0".repeat(250)),
        format!("select {long} glob '*{}1'", "0".repeat(250)),
    ];
    for statement in &statements {
        let (answer, refused) = ask(statement, Threads::Many(2), Duration::from_millis(1));
        assert!(answer.is_err(), "{statement}");
        assert_eq!(refused, Some(Refused::Time), "{statement}");
    }
    // The clock is also checked while a statement is prepared.
    let joined = (0..60).map(|n| format!("(select name from sqlite_schema order by {n} + rootpage) t{n}"));
    let joined = format!("select * from {}", joined.collect::<Vec<_>>().join(","));
    let selects = vec![format!("select exists({joined})"); 12].join(" union all ");
    let (answer, refused) = ask(&selects, Threads::Many(2), Duration::from_micros(100));
    assert!(answer.is_err());
    assert_eq!(refused, Some(Refused::Time));
}

#[test]
fn one_thread_allows_fewer_long_operations() {
    let sql = |count| format!("select {}", vec!["x+1"; count].join("=")) + " from (select 'a' x)";
    let one = |count| ask(&sql(count), Threads::One, HOUR).0;
    assert!(one(20).is_ok());
    let columns = |count| {
        let column = vec!["x+x"; 90].join("+");
        format!("select {} from (select hex(zeroblob(5)) x)", vec![column; count].join(","))
    };
    assert!(ask(&columns(2), Threads::One, HOUR).0.is_ok());
    assert!(ask(&columns(8), Threads::One, HOUR).0.unwrap_err().contains("operations"));
    assert!(ask(&columns(8), Threads::Many(2), HOUR).0.is_ok());
    assert!(ask(&columns(50), Threads::Many(2), HOUR).0.unwrap_err().contains("operations"));
}

#[test]
fn memory_limit_covers_all_allocations() {
    let long = "hex(zeroblob(900000))";
    let statements = [
        format!("select length(max({}))", vec![long; 20].join(",")),
        format!(
            "with recursive c(n) as (select 1 union all select n + 1 from c limit 100000) \
             select count(*) from c where n in ({})",
            (0..20).map(|n| format!("(select {long} || {n})")).collect::<Vec<_>>().join(",")
        ),
        format!(
            "select sum(length(a.x)) over () from (select {long} x union all select {long} || 1 union all select {long} || 2 \
                 union all select {long} || 3 union all select {long} || 4) a"
        ),
    ];
    for statement in &statements {
        let (answer, refused) = ask(statement, Threads::Many(2), HOUR);
        assert!(answer.is_ok() || refused == Some(Refused::Memory), "{statement}: {answer:?} {refused:?}");
    }
    assert_eq!(ask(&statements[0], Threads::Many(2), HOUR).1, Some(Refused::Memory));
    assert_eq!(answer("select 1").unwrap(), "{\"columns\":[\"1\"],\"rows\":[[1]],\"truncated\":false}");
}

#[test]
fn response_does_not_wait_for_memory() {
    let memory = Arc::new(Semaphore::new(100));
    let mut answer = StatementRows::new(10, &memory);
    answer.begin(["a"]);
    assert!(answer.row(1, |_, out, bytes_max| write_text(out, &[b'x'; 50 << 10], bytes_max)));
    assert!(!answer.row(1, |_, out, bytes_max| write_text(out, &[b'x'; 60 << 10], bytes_max)));
    assert!(answer.finish().is_err());
    assert_eq!(memory.available_permits(), 100);
}

#[tokio::test]
async fn statement_stops_when_write_ahead_log_is_too_large() {
    confine::install(); // before SQLite is used
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("logs.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE block (id INTEGER)").unwrap();
    let stop = StatementStop::default();
    stop.must_end.store(true, Relaxed);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let refusal = |sql| run(&path, sql, new_rows(), Threads::Many(2), HOUR, &stop).err().unwrap();
    assert!(matches!(refusal(endless), StatementError::Stopped(_)));
    assert!(matches!(refusal("select"), StatementError::Invalid { .. }));
}
