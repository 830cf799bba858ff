//! Property: a full disk and damaged segments cause clear refusals and reports, cost no record
//! beyond the damaged ones, and the server recovers.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use test_support::audit;
use test_support::load::{Connection, record};
use test_support::small_disk::SmallDisk;
use test_support::{Server, Setup, eventually, python};

/// Returns a record of 4 KiB.
fn large(key: &str) -> String {
    let padding = "x".repeat(4096);
    record(key).replace('}', &format!(r#","padding":"{padding}"}}"#))
}

const PYTHON: &str = r#"
import logging, logging.handlers, sys
host, port = sys.argv[1].rsplit(":", 1)
handler = logging.handlers.SocketHandler(host, int(port))
log = logging.getLogger("load")
log.addHandler(handler)
for n in range(500):
    key = "%s-%d" % (sys.argv[2], n)
    log.warning("key=%s", key, extra={"trace_id": key})
handler.close()
"#;

#[test]
fn full_disk_is_refused_clearly_and_recovers() {
    for threads in ["0", "1"] {
        full_and_free_again(threads);
    }
}

fn full_and_free_again(threads: &str) {
    let folder = TempDir::new().unwrap();
    let disk = SmallDisk::mount(&folder.path().join("disk"), "64m");
    let data = folder.path().join("disk/data");
    let setup = Setup::new()
        .argument("--spool-segment-bytes=8MiB")
        .argument(format!("--threads={threads}"))
        .argument(format!("--log-file={}", data.join("all.log").display()));
    let mut server = setup.start(&data);
    let mut connection = Connection::open(&server.address("http")).unwrap();
    let mut acknowledged = Vec::new();
    let mut post = |name: String| {
        let (status, head, body) = connection.post(&large(&name)).unwrap();
        if status == 200 {
            acknowledged.push(name);
        }
        (status, head, body)
    };
    for number in 0..100 {
        assert_eq!(post(format!("before-{number}")).0, 200);
    }

    let filler = disk.fill();
    // The reserved space is used up first.
    let (status, head, body) =
        (0..).map(|number| post(format!("filling-{number}"))).find(|answer| answer.0 != 200).unwrap();
    assert!(status == 429 || status == 503, "{status} {body}");
    assert!(head.contains("\r\nretry-after: "), "{head}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let error = answer["errors"][0]["error"].as_str().unwrap();
    assert!(error.contains("the spool is full") && error.contains("No space left on device"), "{error}");
    assert_eq!(answer["accepted"], 0);
    let ready = server.get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("No space left on device"), "{}", ready.text());

    python(PYTHON, &[&server.address("python"), "shed"]);
    eventually("every record of Python is accounted for", || {
        let source = server.source("python");
        let count = |value: &Value| value.as_u64().unwrap();
        let shed: u64 = source["shed"].as_object().unwrap().values().map(count).sum();
        assert!(source["shed"].as_object().unwrap().keys().all(|reason| reason == "full"), "{source}");
        (shed > 0 && shed + count(&source["accepted"]) == 500).then_some(())
    });
    assert!(server.child.try_wait().unwrap().is_none());

    std::fs::remove_file(filler).unwrap();
    let mut number = 0;
    eventually("records are taken again", || {
        number += 1;
        (post(format!("after-{number}")).0 == 200).then_some(())
    });
    for number in 0..100 {
        assert_eq!(post(format!("healed-{number}")).0, 200);
    }
    python(PYTHON, &[&server.address("python"), "healed-python"]);
    eventually("Python's records are taken", || {
        server.flush();
        let sql = "select count(*) from logs where trace_id like 'healed-python-%'";
        (server.value(sql) == 500).then_some(())
    });
    assert_eq!(server.get("/readyz").status, 200);
    assert_eq!(server.stop(), 0);
    assert!(!server.log().contains("panicked"), "{}", server.log());
    audit::database(&data.join("logboom.db")).check("the database", &acknowledged);
    audit::log_file(&data.join("all.log")).check("the log file", &acknowledged);
}

/// Stops a server with records that only the spool has, because their store does not exist yet.
fn stopped_with_a_full_spool(folder: &Path, database: &Path) -> Vec<String> {
    let obstacle = database.parent().unwrap();
    std::fs::write(obstacle, "").unwrap();
    let setup = setup(database).argument("--shutdown-seconds-max=1");
    let mut server = setup.start(&folder.join("data"));
    let keys: Vec<_> = (0..200).map(|number| format!("key-{number}")).collect();
    for key in &keys {
        assert_eq!(server.post(record(key)).status, 200);
    }
    server.kill();
    std::fs::remove_file(obstacle).unwrap();
    keys
}

fn setup(database: &Path) -> Setup {
    let log_file = database.parent().unwrap().join("all.log");
    Setup::new()
        .argument(format!("--store=sqlite:{}", database.display()))
        .argument(format!("--log-file={}", log_file.display()))
}

fn only_segment(folder: &Path) -> PathBuf {
    let mut segments =
        std::fs::read_dir(folder.join("data/spool")).unwrap().map(|entry| entry.unwrap().path());
    segments.find(|path| path.extension().is_some_and(|extension| extension == "segment")).unwrap()
}

#[test]
fn damaged_segment_loses_only_damaged_records() {
    let folder = TempDir::new().unwrap();
    let database = folder.path().join("stores/records.db");
    let keys = stopped_with_a_full_spool(folder.path(), &database);
    let mut file = File::options().read(true).write(true).open(only_segment(folder.path())).unwrap();
    // Each record was a separate commit, so a few bytes in the middle damage one or two records.
    let mut content = vec![0; 64 << 10];
    let length = file.read(&mut content).unwrap();
    let used = content[..length].iter().rposition(|byte| *byte != 0).unwrap() as u64;
    let mut bytes = [0; 10];
    file.seek(SeekFrom::Start(used / 2)).unwrap();
    file.read_exact(&mut bytes).unwrap();
    bytes.iter_mut().for_each(|byte| *byte ^= 0xff);
    file.seek(SeekFrom::Start(used / 2)).unwrap();
    file.write_all(&bytes).unwrap();
    drop(file);

    let mut server = setup(&database).start(&folder.path().join("data"));
    server.flush();
    let stored = server.value("select count(*) from logs").as_u64().unwrap();
    let lost = 200 - stored;
    assert!((1..=3).contains(&lost), "{lost} lost");
    eventually("it says so", || server.log_line("a range of the spool is damaged"));
    eventually("it says so", || server.log_line("records are missing from the spool"));
    let spool = server.status()["spool"].clone();
    assert_eq!(spool["lost_records"], lost, "what two stores miss is lost once");
    let quarantined = spool["quarantined_bytes"].as_u64().unwrap();
    let files = std::fs::read_dir(folder.path().join("data/spool")).unwrap().map(|entry| entry.unwrap());
    let set_aside: u64 = files
        .filter(|file| file.file_name().to_str().unwrap().ends_with(".quarantine"))
        .map(|file| file.metadata().unwrap().len())
        .sum();
    assert!(quarantined > 0 && quarantined == set_aside, "{quarantined} counted, {set_aside} set aside");

    assert_eq!(server.post(record("more")).status, 200);
    server.flush();
    assert_eq!(server.value("select max(id) from logs"), 201, "ids of what was lost are not used again");
    assert_eq!(server.stop(), 0);
    let mut server = setup(&database).start(&folder.path().join("data"));
    server.flush();
    assert_eq!(
        server.status()["spool"]["quarantined_bytes"],
        quarantined,
        "counted once, also by the next start"
    );
    assert_eq!(server.stop(), 0);
    let lines = audit::log_file(&database.parent().unwrap().join("all.log"));
    assert_eq!(lines.starting_with("key-"), stored as usize);
    let first_and_last = [keys[0].clone(), keys[199].clone(), "more".to_owned()];
    lines.check("the log file", &first_and_last);
}

#[test]
fn segment_without_header_is_read_completely() {
    let folder = TempDir::new().unwrap();
    let database = folder.path().join("stores/records.db");
    let keys = stopped_with_a_full_spool(folder.path(), &database);
    let mut file = File::options().write(true).open(only_segment(folder.path())).unwrap();
    file.write_all(&[0xff; 64]).unwrap();
    drop(file);
    let mut server: Server = setup(&database).start(&folder.path().join("data"));
    server.flush();
    assert_eq!(server.stop(), 0);
    audit::database(&database).check("the database", &keys);
}
