//! Rows that the server keeps out, or cannot hold.

use super::*;

#[test]
fn only_refused_rows_become_dead_letters() {
    for (obstacle, reason) in [
        ("ALTER TABLE logs ADD CONSTRAINT picky CHECK (message NOT IN ('3', '70', '200'))", "23514: new row for"),
        (
            "CREATE FUNCTION refuse() RETURNS trigger AS 'BEGIN IF NEW.message IN (''3'', ''70'', ''200'') THEN
                 RAISE EXCEPTION ''not these''; END IF; RETURN NEW; END' LANGUAGE plpgsql;
             CREATE TRIGGER picky BEFORE INSERT ON logs FOR EACH ROW EXECUTE FUNCTION refuse()",
            "P0001: not these",
        ),
        (
            "CREATE FUNCTION refuse() RETURNS trigger AS 'BEGIN IF NEW.message IN (''3'', ''70'', ''200'') THEN
                 RAISE EXCEPTION USING ERRCODE = ''23514'', MESSAGE = ''not these''; END IF; RETURN NEW; END' LANGUAGE plpgsql;
             CREATE CONSTRAINT TRIGGER picky AFTER INSERT ON logs DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION refuse()",
            "23514: not these",
        ),
        (
            "CREATE FUNCTION refuse() RETURNS trigger AS 'DECLARE found int; BEGIN
                 SELECT 1 INTO STRICT found WHERE NEW.message NOT IN (''3'', ''70'', ''200''); RETURN NEW; END' LANGUAGE plpgsql;
             CREATE TRIGGER picky BEFORE INSERT ON logs FOR EACH ROW EXECUTE FUNCTION refuse()",
            "P0002: query returned no rows",
        ),
        (
            "CREATE FUNCTION refuse() RETURNS trigger AS 'BEGIN IF NEW.message IN (''3'', ''70'', ''200'') THEN
                 RAISE EXCEPTION USING ERRCODE = ''LOG01'', MESSAGE = ''not these''; END IF; RETURN NEW; END' LANGUAGE plpgsql;
             CREATE TRIGGER picky BEFORE INSERT ON logs FOR EACH ROW EXECUTE FUNCTION refuse()",
            "LOG01: not these",
        ),
    ] {
        let database = new_database();
        let mut store = database.open();
        block_on(store.position()).unwrap();
        database.execute(obstacle);
        let messages: Vec<_> = (1..=300).map(|id| id.to_string()).collect();
        let all = messages.iter().map(|message| RecordRef { message, ..RecordRef::default() });
        assert_eq!(write(&mut store, all), WriteOutcome { stored: 297, dead_letters: 3 });
        assert_eq!(block_on(store.position()).unwrap(), 301);
        let kept = "SELECT count(*), sum(id), count(DISTINCT id) FROM logs";
        let kept = database.rows(kept)[0].iter().flatten().map(|text| text.parse().unwrap()).collect::<Vec<u64>>();
        assert_eq!(kept, [297, 300 * 301 / 2 - 273, 297]);
        let aside = "SELECT string_agg(id || ':' || (record::json->>'message'), ' ' ORDER BY id), min(reason) FROM logs_dead_letter";
        let aside = &database.rows(aside)[0];
        assert_eq!(aside[0].as_deref(), Some("3:3 70:70 200:200"));
        assert!(aside[1].as_ref().unwrap().starts_with(reason), "{aside:?}");
    }
}

/// A function for triggers that returns NULL for some messages, and raises an error for another
/// one.
const SWALLOW: &str = "CREATE FUNCTION swallow() RETURNS trigger AS 'BEGIN
    IF NEW.message = ''100'' THEN RAISE EXCEPTION ''not this''; END IF;
    IF NEW.message IN (''3'', ''70'', ''200'') THEN RETURN NULL; END IF; RETURN NEW; END' LANGUAGE plpgsql;";

#[test]
fn rows_skipped_by_trigger_become_dead_letters() {
    for table in ["logs", "logs_default", "logs_19700101"] {
        for count in [99, 300] {
            let database = new_database();
            let mut store = database.open();
            block_on(store.position()).unwrap();
            database.execute(
                "CREATE TABLE logs_19700101 PARTITION OF logs FOR VALUES FROM ('1970-01-01') TO ('1970-01-02')",
            );
            database.execute(&format!(
                "{SWALLOW} CREATE TRIGGER greedy BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION swallow()"
            ));
            let timestamp = if table == "logs_default" { -1 } else { 1 };
            let messages: Vec<_> = (1..=count).map(|id| id.to_string()).collect();
            let all = messages.iter().map(|message| RecordRef { message, timestamp, ..RecordRef::default() });
            let (dead, aside) = if count == 300 { (4, "3 70 100 200") } else { (2, "3 70") };
            assert_eq!(write(&mut store, all), WriteOutcome { stored: count - dead, dead_letters: dead });
            let [kept, letters] = [
                "count(*) FROM logs",
                "string_agg(record::json->>'message', ' ' ORDER BY id) FROM logs_dead_letter",
            ]
            .map(|what| database.value(&format!("SELECT {what}")));
            assert_eq!((kept, letters.as_str()), ((count - dead).to_string(), aside), "{table}");
            let reason = database.value("SELECT reason FROM logs_dead_letter WHERE id = 3");
            assert_eq!(
                reason,
                format!("the row did not arrive in `logs`: blocked by the trigger greedy of {table}")
            );
            assert_eq!(database.value("SELECT missing FROM logs_accounted"), "0");
        }
    }
}

#[test]
fn missing_rows_of_unknown_ids_are_an_error() {
    let database = new_database();
    let role = format!("{}_writer", database.name);
    database.execute(SCHEMA);
    database.execute(&format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT ON logs_version, logs_node TO {role};
         GRANT INSERT ON logs, logs_dead_letter, logs_node TO {role}; GRANT UPDATE ON logs_node TO {role};
         GRANT SELECT, INSERT, DELETE ON logs_claim TO {role};
         {SWALLOW} CREATE TRIGGER greedy BEFORE INSERT ON logs FOR EACH ROW EXECUTE FUNCTION swallow()"
    ));
    let mut store = store(&database.url_as(&role));
    let records = ["1", "2", "3", "4"].map(|message| RecordRef { message, ..RecordRef::default() });
    let (batch, count) = self::records(records);
    let mut attempt = || {
        block_on(async {
            let position = store.position().await.unwrap();
            assert_eq!(position, 1);
            store.write(&Chunk::of(position, batch.bytes(), count)).await
        })
    };
    let error = attempt().unwrap_err();
    let told = format!("{} ({})", error.what, error.hint.unwrap_or_default());
    for words in
        ["1 of 4 rows do not arrive in `logs`", "42501", "the trigger greedy of logs", "must return NEW"]
    {
        assert!(told.contains(words), "{told}");
    }
    assert_eq!(database.value("SELECT count(*) FROM logs"), "0");
    database.execute(&format!("GRANT SELECT ON logs TO {role}"));
    assert_eq!(attempt().unwrap(), WriteOutcome { stored: 3, dead_letters: 1 });
}

#[test]
fn missing_dead_letters_are_an_error() {
    let database = new_database();
    let mut store = database.open();
    block_on(store.position()).unwrap();
    database.execute(
        "CREATE FUNCTION nothing() RETURNS trigger AS 'BEGIN RETURN NULL; END' LANGUAGE plpgsql;
         CREATE TRIGGER deaf BEFORE INSERT ON logs_dead_letter FOR EACH ROW EXECUTE FUNCTION nothing()",
    );
    let (batch, count) = records([RecordRef { message: "\0", ..RecordRef::default() }, RecordRef::default()]);
    let chunk = Chunk::of(1, batch.bytes(), count);
    let error = block_on(store.write(&chunk)).unwrap_err();
    assert!(
        error.what.contains("1 of 1 rows do not arrive in `logs_dead_letter`: blocked by the trigger deaf"),
        "{error:?}"
    );
    assert!(error.hint.unwrap().contains("must return NEW"));
    assert_eq!(block_on(store.position()).unwrap(), 1);
    // A dead letter that exists from a time when the position was further is left unchanged.
    database.execute(
        "ALTER TABLE logs_dead_letter DISABLE TRIGGER deaf;
         INSERT INTO logs_dead_letter VALUES ('test', 1, now(), 'earlier', '{}');
         ALTER TABLE logs_dead_letter ENABLE TRIGGER deaf",
    );
    assert_eq!(block_on(store.write(&chunk)).unwrap(), WriteOutcome { stored: 1, dead_letters: 1 });
    assert_eq!(database.value("SELECT string_agg(reason, ' ') FROM logs_dead_letter"), "earlier");
}

/// Rows that the owner's triggers delete are the owner's responsibility: they were stored before.
#[test]
fn rows_deleted_by_trigger_are_missing_not_dead_letters() {
    let database = new_database();
    let mut store = database.open();
    block_on(store.position()).unwrap();
    database.execute(
        "CREATE FUNCTION move() RETURNS trigger AS 'BEGIN DELETE FROM logs WHERE id = 2; RETURN NULL; END' LANGUAGE plpgsql;
         CREATE TRIGGER move AFTER INSERT ON logs FOR EACH ROW EXECUTE FUNCTION move()",
    );
    assert_eq!(write(&mut store, [RecordRef::default(); 3]), WriteOutcome { stored: 3, dead_letters: 0 });
    assert_eq!(database.value("SELECT missing FROM logs_accounted"), "1");
}

#[test]
fn many_dead_letters_keep_whole_records() {
    let database = new_database();
    let messages: Vec<_> = (1..=2000).map(|id| format!("{id}\0{}", "x".repeat(id % 300))).collect();
    let all = messages.iter().map(|message| RecordRef { message, ..RecordRef::default() });
    assert_eq!(write(&mut database.open(), all), WriteOutcome { stored: 0, dead_letters: 2000 });
    let whole = "SELECT count(*) FROM logs_dead_letter
        WHERE position('\"message\":\"' || id || '\\u0000' || repeat('x', (id % 300)::int) || '\"' IN record) > 0";
    assert_eq!(database.value(whole), "2000");
}

#[test]
fn unstorable_values_become_dead_letters() {
    let database = new_database();
    let good = RecordRef { message: "good", attributes: r#"{"a":"\\u0000"}"#, ..RecordRef::default() };
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(50), "]".repeat(50));
    let large = format!("{{\"a\":1{}}}", "0".repeat(200_000));
    let all = [
        good,
        RecordRef { message: "a\0b", ..good },
        good,
        RecordRef { attributes: r#"{"a":"\u0000"}"#, ..good },
        RecordRef { attributes: r#"{"a":"\ud800"}"#, ..good },
        RecordRef { attributes: &large, ..good },
        RecordRef { attributes: &deep, ..good },
        RecordRef { origin: Origin { thread: "\0", ..Origin::default() }, ..good },
        good,
    ];
    assert_eq!(write(&mut database.open(), all), WriteOutcome { stored: 4, dead_letters: 5 });
    assert_eq!(database.value("SELECT string_agg(id::text, ' ' ORDER BY id) FROM logs"), "1 3 7 9");
    let reasons = database.rows("SELECT reason FROM logs_dead_letter ORDER BY id");
    let reasons: Vec<_> = reasons.iter().map(|row| row[0].as_deref().unwrap()).collect();
    for (reason, part) in reasons.iter().zip([
        "contains NUL",
        "\\u0000",
        "22P02: invalid input syntax",
        "22003",
        "contains NUL",
    ]) {
        assert!(reason.contains(part), "{reasons:?}");
    }
    let whole = r#"SELECT count(*) FROM logs_dead_letter WHERE record LIKE '{"id":%,"timestamp":"1970-01-01T00:00:00%}'"#;
    assert_eq!(database.value(whole), "5");
}

#[test]
fn unencodable_text_becomes_dead_letter() {
    for (encoding, lacking, told) in [
        ("LATIN1", RecordRef { message: "caf\u{e9} \u{1f600}", ..RecordRef::default() }, "22P05"),
        (
            "SQL_ASCII",
            RecordRef { attributes: r#"{"a":"\u00e9"}"#, message: "\u{1f600}", ..RecordRef::default() },
            "SQL_ASCII",
        ),
    ] {
        let server = Server::shared();
        let name = format!("{}_{encoding}", server.database().name).to_lowercase();
        let create = format!("CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0");
        server.database_named("postgres").execute(&create);
        let database = server.database_named(&name);
        let good = RecordRef { message: "caf\u{e9}", ..RecordRef::default() };
        let written = write(&mut database.open(), [good, lacking, good]);
        assert_eq!(written, WriteOutcome { stored: 2, dead_letters: 1 }, "{encoding}");
        assert!(database.value("SELECT reason FROM logs_dead_letter").contains(told));
        let record = database.value("SELECT record FROM logs_dead_letter");
        assert!(record.contains(r"\ud83d\ude00") && record.is_ascii(), "{record}");
    }
}

#[test]
fn row_refused_twice_becomes_one_dead_letter() {
    let database = new_database();
    let mut store = database.open();
    block_on(store.position()).unwrap();
    database.execute(
        "CREATE FUNCTION refuse() RETURNS trigger AS 'BEGIN RAISE EXCEPTION ''nothing at all''; END' LANGUAGE plpgsql;
         CREATE TRIGGER closed BEFORE INSERT ON logs FOR EACH STATEMENT EXECUTE FUNCTION refuse()",
    );
    let all = ["a", "b\0", "c\0"].map(|message| RecordRef { message, ..RecordRef::default() });
    assert_eq!(write(&mut store, all), WriteOutcome { stored: 0, dead_letters: 3 });
    assert_eq!(database.value("SELECT count(*) FROM logs_dead_letter"), "3");
}
