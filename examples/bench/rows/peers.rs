//! Log servers that Debian packages, if they are installed, and VictoriaLogs, if its executable is
//! given (`victorialogs.rs`): nothing is installed for this benchmark.
//!
//! The former receive syslog (RFC 5424, octet counting, 281 bytes) over TCP, parse no JSON, sync
//! nothing and acknowledge nothing: an easier task than that of logboom, which is measured between
//! them. Their settings are the fastest that were found for them. A full queue makes the sender
//! wait in all of them, so that nothing is dropped; the lines are counted.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::growth::sent;
use super::{Setup, lines_of, victorialogs};
use crate::generator::{Load, Pace};
use crate::payloads::Payloads;
use crate::process::Process;
use crate::report::{Figures, Line, figures_of};

const CONNECTIONS: usize = 4;

/// Figures that would make the table of this row too wide.
const LEFT_OUT: [&str; 3] = ["p90_ms", "p95_ms", "p999_ms"];

/// Measures the servers that are installed, and logboom with a file and with SQLite.
pub fn measure(setup: &Setup) -> Vec<Line> {
    let records = setup.scaled(3_000_000);
    let events = Payloads::requests(1000);
    let ours = |name: &str, arguments: &[&str]| {
        Line::new(name, sent(&setup.server(0, arguments), &events, CONNECTIONS, records))
    };
    let mut lines =
        vec![ours("logboom, file", &["--store=file:{data}/all.log"]), ours("logboom, SQLite", &[])];
    for peer in PEERS {
        match find(peer.command) {
            Some(executable) => lines.push(Line::new(peer.name, peer.measure(setup, &executable, records))),
            None => eprintln!("{} is not installed: left out", peer.command),
        }
    }
    match &setup.victorialogs {
        Some(executable) => {
            lines.extend(setup.of_sets(|set| victorialogs::compare(setup, executable, set)));
        }
        None => eprintln!("--victorialogs is not given: left out"),
    }
    for line in &mut lines {
        line.figures.retain(|name, _| !LEFT_OUT.contains(name));
    }
    lines
}

struct Peer {
    name: &'static str,
    command: &'static str,
    arguments: &'static [&'static str],
    /// `FOLDER` and `PORT` stand for the folder and the port.
    configuration: &'static str,
}

const PEERS: &[Peer] = &[
    Peer {
        name: "rsyslog, file",
        command: "rsyslogd",
        arguments: &["-n", "-f", "FOLDER/peer.conf", "-i", "FOLDER/peer.pid"],
        configuration: r#"
main_queue(queue.type="FixedArray" queue.size="200000" queue.dequeueBatchSize="4096" queue.timeoutEnqueue="3600000")
module(load="imptcp" threads="2")
input(type="imptcp" address="127.0.0.1" port="PORT")
action(type="omfile" template="RSYSLOG_SyslogProtocol23Format" file="FOLDER/all.log" ioBufferSize="1m" flushOnTXEnd="off" asyncWriting="on" flushInterval="1")
"#,
    },
    Peer {
        name: "syslog-ng, file",
        command: "syslog-ng",
        arguments: &[
            "--foreground",
            "--no-caps",
            "--cfgfile=FOLDER/peer.conf",
            "--persist-file=FOLDER/peer.persist",
            "--pidfile=FOLDER/peer.pid",
            "--control=FOLDER/peer.ctl",
        ],
        configuration: r#"@version: 3.38
options { threaded(yes); stats-freq(0); };
source in { syslog(ip("127.0.0.1") port(PORT) transport("tcp") max-connections(64) log-iw-size(400000) log-fetch-limit(1000)); };
destination out { file("FOLDER/all.log" flags(syslog-protocol) log-fifo-size(500000)); };
log { source(in); destination(out); flags(flow-control); };
"#,
    },
];

impl Peer {
    fn measure(&self, setup: &Setup, executable: &Path, records: u64) -> Figures {
        let folder = tempfile::tempdir_in(&setup.folder).unwrap();
        let port = free_port();
        let fill = |text: &str| {
            text.replace("FOLDER", folder.path().to_str().unwrap()).replace("PORT", &port.to_string())
        };
        fs::write(folder.path().join("peer.conf"), fill(self.configuration)).unwrap();
        let mut command = Command::new(executable);
        command.args(self.arguments.iter().map(|argument| fill(argument)));
        let process = Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let file = folder.path().join("all.log");
        eventually(|| TcpStream::connect(address).is_ok(), self.name);

        let cpu = process.cpu_seconds();
        let payloads = Payloads::syslog();
        let load =
            Load { address, connections: CONNECTIONS, payloads: &payloads, records, pace: Pace::Closed };
        let sent = load.run().unwrap();
        // First the cheap check: no line is shorter than this.
        eventually(|| fs::metadata(&file).is_ok_and(|data| data.len() > records * 100), self.name);
        let mut size = 0;
        eventually(
            || {
                let now = fs::metadata(&file).unwrap().len();
                let is_still = std::mem::replace(&mut size, now) == now;
                is_still && lines_of(&file) == records
            },
            self.name,
        );
        let written = fs::metadata(&file).and_then(|data| data.modified()).unwrap();
        let seconds = sent.start.elapsed().as_secs_f64() - written.elapsed().unwrap().as_secs_f64();
        let mut figures = figures_of(&sent, records);
        figures.extend([
            ("stored_per_second", records as f64 / seconds),
            ("cpu_seconds_per_million", (process.cpu_seconds() - cpu) / records as f64 * 1e6),
            ("peak_megabytes", process.peak_bytes() / 1e6),
            ("disk_bytes_per_record", fs::metadata(&file).unwrap().len() as f64 / records as f64),
        ]);
        figures
    }
}

fn find(command: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
    path.split(':').map(|folder| Path::new(folder).join(command)).find(|file| file.is_file())
}

/// Returns a port that was free a moment ago: these servers do not report which port they got for
/// port 0.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn eventually(mut is_so: impl FnMut() -> bool, who: &str) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < deadline, "{who} does not get there");
        std::thread::sleep(Duration::from_millis(50));
    }
}
