//! Compares the pickle decoder with CPython: `oracle.py` creates the pickles and compares.

use std::env;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use logboom::ingest::python::{PickleScratch, decode};
use logboom::record::{Batch, json};

use crate::targets::records::{self, ARRIVAL};

/// Runs over 2000 pickles. `ORACLE_SECONDS`, `ORACLE_SEED` and `ORACLE_CORPUS` (a folder of pickles
/// to begin with) change that.
#[test]
fn cpython_reads_plain_pickles_as_the_decoder_does() {
    let given = |name| env::var(name).ok();
    let seconds = given("ORACLE_SECONDS");
    let count = if seconds.is_some() { "0" } else { "2000" };
    let mut oracle = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/oracle.py"))
        .args([given("ORACLE_SEED").unwrap_or("1".into()), seconds.unwrap_or("0".into()), count.into()])
        .args(given("ORACLE_CORPUS"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (questions, answers) = (oracle.stdout.take().unwrap(), oracle.stdin.take().unwrap());
    answer(BufReader::new(questions), BufWriter::new(answers));
    assert!(oracle.wait().unwrap().success(), "they differ, see above");
}

/// Answers each pickle with its record as a line of JSON, whenever an empty frame asks for it.
fn answer(mut questions: impl Read, mut answers: impl Write) {
    let (mut length, mut pickle, mut scratch) = ([0; 4], Vec::new(), PickleScratch::default());
    let mut lines = Vec::new();
    while questions.read_exact(&mut length).is_ok() {
        pickle.resize(u32::from_be_bytes(length) as usize, 0);
        questions.read_exact(&mut pickle).unwrap();
        if pickle.is_empty() {
            answers.write_all(&lines).and_then(|()| answers.flush()).unwrap();
            lines.clear();
        } else {
            show(&pickle, &mut scratch, &mut lines);
        }
    }
}

fn show(pickle: &[u8], scratch: &mut PickleScratch, out: &mut Vec<u8>) {
    let mut batch = Batch::new();
    match decode(pickle, &ARRIVAL, scratch, &mut batch) {
        Ok(()) => json::write(1, &records::read(&batch)[0], out),
        Err(rejection) => writeln!(out, r#"{{"rejected":"{}"}}"#, rejection.reason).unwrap(),
    }
    if out.last() != Some(&b'\n') {
        out.push(b'\n');
    }
}
