use tokio::sync::Semaphore;

use super::*;
use crate::limits::{SQL_ANSWERS_KIB_MAX, SQL_PATTERN_BYTES_MAX};

const HOUR: Duration = Duration::from_secs(3600);

fn new_answer() -> Answer {
    Answer::new(10, &Arc::new(Semaphore::new(SQL_ANSWERS_KIB_MAX)))
}

/// The answer to a statement, what went wrong, and what it was refused.
fn ask(sql: &str, threads: Threads, duration_max: Duration) -> (Result<String, String>, Option<Refused>) {
    confine::install();
    let confinement = Confinement::new().unwrap();
    let mut connection = Connection::open_in_memory().unwrap();
    let bounds = Bounds::of(threads);
    confine(&mut connection, &bounds, Arc::default()).unwrap();
    let work = || answer_to(&connection, sql, &bounds, new_answer());
    let (answer, refused) = confinement.run(Instant::now() + duration_max, work);
    drop(connection);
    let text = |answer: Answer| {
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
fn a_row_of_many_long_values_is_not_answered() {
    let answer = answer("select zeroblob(1900000), zeroblob(1900001), zeroblob(500000)").unwrap();
    assert!(answer.ends_with("\"rows\":[],\"truncated\":true}"), "{}", answer.len());
}

#[test]
fn what_would_outgrow_memory_or_time_is_refused() {
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
fn what_one_step_of_takes_long_is_refused() {
    for sql in ["select JSON_patch('{}', '{}')", "select * from dbstat"] {
        let error = answer(sql).unwrap_err();
        assert!(["authorized", "prohibited"].iter().any(|reason| error.contains(reason)), "{sql}: {error}");
    }
}

/// SQLite's own `instr` and `trim` need minutes for these.
#[test]
fn functions_of_two_long_values_are_quick() {
    let (text, part) = ("hex(zeroblob(900000))", "hex(zeroblob(400000))||'1'");
    for call in [format!("instr({text}, {part})"), format!("length(trim({text}||'2', {part}||'2'))")] {
        let answer = answer(&format!("select {call}")).unwrap();
        assert!(answer.contains("\"rows\":[[0]]"), "{call}");
    }
}

/// Of each of these nothing is seen by a progress handler, or each row of it takes long.
#[test]
fn the_clock_stops_what_has_begun() {
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
    // While it is prepared, too.
    let joined = (0..60).map(|n| format!("(select name from sqlite_schema order by {n} + rootpage) t{n}"));
    let joined = format!("select * from {}", joined.collect::<Vec<_>>().join(","));
    let selects = vec![format!("select exists({joined})"); 12].join(" union all ");
    let (answer, refused) = ask(&selects, Threads::Many(2), Duration::from_micros(100));
    assert!(answer.is_err());
    assert_eq!(refused, Some(Refused::Time));
}

#[test]
fn one_thread_takes_few_long_operations() {
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
fn memory_has_a_bound_whatever_holds_it() {
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
fn an_answer_waits_for_no_memory_of_others() {
    let memory = Arc::new(Semaphore::new(100));
    let mut answer = Answer::new(10, &memory);
    answer.begin(["a"]);
    assert!(answer.row(1, |_, out, bytes_max| write_text(out, &[b'x'; 50 << 10], bytes_max)));
    assert!(!answer.row(1, |_, out, bytes_max| write_text(out, &[b'x'; 60 << 10], bytes_max)));
    assert!(answer.finish().is_err());
    assert_eq!(memory.available_permits(), 100);
}
