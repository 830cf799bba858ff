//! The benchmark: `./bench` builds and runs it, `./bench --help` lists its arguments, and
//! docs/performance.md describes what it measures.
//!
//! Each row starts real servers on free ports, sends with the generator of this program, compares
//! the result with a limit that is measured in the same round, and counts every record afterwards.
//! The benchmark panics at the first unexpected result: a figure for records that were lost would
//! be worth nothing.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a tool that stops at the first surprise, and prints"
)]

mod answers;
mod data_sets;
mod day;
mod event;
mod generator;
mod histogram;
mod limits;
mod machine;
mod payloads;
mod process;
mod report;
mod rows;
mod server;
mod victorialogs;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;

use data_sets::DataSet;
use generator::{Load, Pace};
use payloads::Payloads;
use report::Section;
use rows::{ROWS, Row, Setup};

const USAGE: &str = "\
usage: bench [quick] [all|growth|ROW...] [OPTION...]
       bench load python[:SET]|ndjson[:SET]|single|gather|syslog ADDRESS CONNECTIONS RECORDS [RATE]

Without rows: the default ones (*). `growth` is the rows connections, sizes and rows; the last takes 10 GB of disk and
10 minutes a round and data set. `quick` does one round of an eighth of the work, without the set mixed.
`load` sends to any server, as fast as it takes them or at a rate of POSTs a second.

  --rounds N           rounds, of which the medians are shown (3)
  --sets A,B,C         data sets of the rows ndjson, python, sqlite, postgres, rows, queries, queries-postgres and peers,
                       or `all` (plain,varied,mixed): plain, varied, threads, pods, wide, long, tiny, unicode, mixed
  --records N          records of the rows queries and queries-postgres (1000000)
  --data DIR           data folders of the row queries, one for each set: kept, and filled only if they are empty
  --victorialogs PATH  an executable of VictoriaLogs, which the rows peers and ndjson compare with
  --json FILE          write the figures, those of each round too
  --dir DIR            make data folders there, on the disk that is to be measured (target/bench)
  --server PATH        the executable (the logboom that was built with this program)

rows:";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["load", kind, address, connections, records] => {
            load(kind, address, connections, records, Pace::Closed);
        }
        ["load", kind, address, connections, records, rate] => {
            let per_second = rate.parse().expect("RATE is a number");
            load(kind, address, connections, records, Pace::Open { per_second, warm_up: 0 });
        }
        ["serve", ref server @ ..] => serve(server),
        ref words => match Options::parse(words) {
            Some(options) => options.run(),
            None => usage(),
        },
    }
}

fn usage() -> ! {
    println!("{USAGE}");
    for row in ROWS {
        println!("  {} {:12} {}", if row.is_default { '*' } else { ' ' }, row.name, row.title);
    }
    std::process::exit(2);
}

/// Runs one of the servers that set limits.
fn serve(server: &[&str]) {
    limits::end_with_parent();
    let number = |text: &str| text.parse().expect("a number of threads");
    match server {
        ["echo", threads] => limits::echo::serve(number(threads)),
        ["discard", threads, records] => limits::discard::serve(number(threads), records.parse().ok()),
        ["events", kind, database] => limits::events::serve(database.as_ref(), *kind == "each"),
        _ => usage(),
    }
}

/// Sends to a server that was started separately.
fn load(kind: &str, address: &str, connections: &str, records: &str, pace: Pace) {
    let address: SocketAddr = address.parse().expect("ADDRESS is IP:PORT");
    let (connections, records): (usize, u64) =
        (connections.parse().expect("a number"), records.parse().expect("a number"));
    let (what, set) = kind.split_once(':').unwrap_or((kind, "plain"));
    let Some(set) = DataSet::of_name(set) else { usage() };
    let payloads = match what {
        "python" => Payloads::frames_of_set(set),
        "syslog" => Payloads::syslog(),
        "ndjson" => Payloads::of_set(set, records),
        "single" => Payloads::requests(1),
        "gather" => Payloads::gathering(),
        _ => usage(),
    };
    let records = records.next_multiple_of(payloads.records);
    raise_descriptor_limit();
    let sent = Load { address, connections, payloads: &payloads, records, pace }.run().unwrap();
    println!("{} of {records} records accepted in {:.3} s", sent.accepted, sent.seconds);
    let figures = report::figures_of(&sent, records);
    let lines = vec![report::Line::new(kind, figures)];
    println!("{}", Section { name: "load", title: "The generator's view", rounds: vec![lines] }.table());
}

/// Rows that share the name `growth`.
const GROWTH: [&str; 3] = ["connections", "sizes", "rows"];

struct Options {
    setup: Setup,
    rows: Vec<&'static Row>,
    rounds: usize,
    json: Option<PathBuf>,
}

impl Options {
    fn parse(words: &[&str]) -> Option<Options> {
        let executable = PathBuf::from(test_support::program());
        let folder = executable.parent()?.parent()?.join("bench");
        let setup = Setup {
            executable,
            folder,
            is_quick: false,
            sets: Vec::new(),
            victorialogs: None,
            records: 1_000_000,
            data_dir: None,
        };
        let mut options = Options { setup, rows: Vec::new(), rounds: 3, json: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "quick" => {
                    options.setup.is_quick = true;
                    options.rounds = 1;
                }
                "all" => options.rows.extend(ROWS),
                "growth" => options.rows.extend(ROWS.iter().filter(|row| GROWTH.contains(&row.name))),
                "--sets" => options.setup.sets = DataSet::parse(words.next()?)?,
                "--victorialogs" => options.setup.victorialogs = Some(words.next()?.into()),
                "--rounds" => options.rounds = words.next()?.parse().ok().filter(|rounds| *rounds > 0)?,
                "--records" => options.setup.records = words.next()?.parse().ok()?,
                "--data" => options.setup.data_dir = Some(words.next()?.into()),
                "--json" => options.json = Some(words.next()?.into()),
                "--dir" => options.setup.folder = words.next()?.into(),
                "--server" => options.setup.executable = words.next()?.into(),
                name => options.rows.push(ROWS.iter().find(|row| row.name == name)?),
            }
        }
        if options.rows.is_empty() {
            options.rows.extend(ROWS.iter().filter(|row| row.is_default));
        }
        if options.setup.sets.is_empty() {
            let sets = if options.setup.is_quick { data_sets::QUICK } else { data_sets::DEFAULT };
            options.setup.sets.extend(sets);
        }
        Some(options)
    }

    fn run(&self) {
        raise_descriptor_limit();
        std::fs::create_dir_all(&self.setup.folder).unwrap();
        let machine = machine::describe(&self.setup.folder);
        println!("{}", machine::text(&machine));
        let sections: Vec<Section> = self.rows.iter().map(|row| self.measure(row)).collect();
        println!("\n{}", report::LEGEND);
        let json = json!({
            "machine": machine,
            "rows": sections.iter().map(Section::json).collect::<Vec<_>>(),
        });
        if let Some(path) = &self.json {
            std::fs::write(path, format!("{json:#}\n")).unwrap();
        }
    }

    fn measure(&self, row: &Row) -> Section {
        let round = |number| {
            let start = Instant::now();
            let lines = (row.measure)(&self.setup);
            let seconds = start.elapsed().as_secs_f64();
            eprintln!("{}: round {number} of {} took {seconds:.0} s", row.name, self.rounds);
            lines
        };
        let rounds = (1..=self.rounds).map(round).collect();
        let section = Section { name: row.name, title: row.title, rounds };
        println!("{}", section.table());
        section
    }
}

/// Raises the limit of open files, because each connection is a descriptor.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}
