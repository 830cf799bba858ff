//! A PostgreSQL server for tests: a real one, in a temporary folder, on a free port.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

use super::PATIENCE;

/// Stops the server and removes its folder when the process of the test ends in any way, because
/// the script's standard input is closed then.
const KEEPER: &str = r#"
"$0" "$@" & server=$!
read -r word
case "$word" in
    kill) kill -9 "$server" ;;
    *) kill -INT "$server" ;;
esac
wait "$server"
[ -n "$word" ] || rm -rf "$(dirname "$(dirname "$PGDATA")")"
"#;

/// A running PostgreSQL server.
pub struct Server {
    folder: PathBuf,
    _folder: Option<TempDir>,
    port: u16,
    user: Option<u32>,
    settings: Vec<String>,
    keeper: Child,
}

/// A database of a server.
#[derive(Clone, Debug)]
pub struct Database {
    folder: PathBuf,
    port: u16,
    pub name: String,
}

/// Returns the user to run servers as. Servers refuse to run as root, and run as `nobody` then.
fn user() -> Option<u32> {
    rustix::process::geteuid().is_root().then_some(65534)
}

/// Returns the path of a program of PostgreSQL. Debian installs these programs outside the search
/// path.
fn program(name: &str) -> PathBuf {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&search).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.map(|version| version.unwrap().path().join("bin")));
    }
    let found = folders.into_iter().map(|folder| folder.join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is missing: install postgresql"))
}

fn command(program: impl AsRef<std::ffi::OsStr>, user: Option<u32>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env("PGDATA", folder.join("data"));
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    command
}

impl Server {
    /// Returns the server that all tests of this process share. Each test uses its own database.
    pub fn shared() -> &'static Server {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| {
            let mut server = Server::start(&["max_connections=200"]);
            // No code of this process runs when it ends, so the keeper removes the folder.
            let _ = server._folder.take().map(TempDir::keep);
            server
        })
    }

    /// Starts a server for one test, which may do anything to it.
    pub fn start(settings: &[&str]) -> Server {
        let temporary = TempDir::new().unwrap();
        let folder = temporary.path().join("pg");
        std::fs::create_dir(&folder).unwrap();
        let user = user();
        if let Some(user) = user {
            std::os::unix::fs::chown(temporary.path(), Some(user), Some(user)).unwrap();
            std::os::unix::fs::chown(&folder, Some(user), Some(user)).unwrap();
        }
        let output = command(program("initdb"), user, &folder)
            .args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let settings: Vec<_> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let port = lasting_port();
        let keeper = run(&folder, user, port, &settings);
        let server = Server { folder, _folder: Some(temporary), port, user, settings, keeper };
        server.wait();
        server
    }

    /// Starts a server that accepts connections over TCP only with TLS, with the certificate in the
    /// folder `files`.
    pub fn start_with_tls(files: &str) -> Server {
        let mut server = Server::start(&[]);
        server.stop();
        for name in ["server.crt", "server.key"] {
            let path = server.data().join(name);
            std::fs::copy(Path::new(files).join(name), &path).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            server.own(&path);
        }
        let rules = "local all all trust\nhostssl all all all trust\n";
        std::fs::write(server.data().join("pg_hba.conf"), rules).unwrap();
        server.set("ssl=on");
        server.restart();
        server
    }

    /// Returns the folder of the database cluster.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts the server again after a stop or a kill.
    pub fn restart(&mut self) {
        self.begin_restart();
        // PostgreSQL 15 was observed to hang forever while it recovers from a crash, and to recover
        // at the next start.
        if !self.is_within(PATIENCE / 2, Server::takes_connections) {
            self.kill();
            self.begin_restart();
        }
        self.wait();
    }

    /// Like [`Server::restart`], but does not wait until the server accepts connections, which may
    /// never happen. On return, the server handles signals, which it ignores before.
    pub fn begin_restart(&mut self) {
        self.remove_empty_locks();
        self.keeper = run(&self.folder, self.user, self.port, &self.settings);
        self.wait_until("starts", Server::has_processes);
    }

    /// Removes lock files that a kill has left empty: PostgreSQL would refuse to start.
    fn remove_empty_locks(&self) {
        let of_socket = self.folder.join(format!(".s.PGSQL.{}.lock", self.port));
        for lock in [of_socket, self.data().join("postmaster.pid")] {
            if std::fs::metadata(&lock).is_ok_and(|data| data.len() == 0) {
                std::fs::remove_file(&lock).unwrap();
            }
        }
    }

    /// Adds a setting, which applies from the next start on.
    pub fn set(&mut self, setting: &str) {
        self.settings.push(setting.into());
    }

    /// Makes the server's user the owner of a file or folder.
    pub fn own(&self, path: &Path) {
        std::os::unix::fs::chown(path, self.user, self.user).unwrap();
    }

    /// Stops the server cleanly, without waiting for its clients.
    pub fn stop(&mut self) {
        self.end("stop");
    }

    /// Kills the server's first process with SIGKILL, and waits until the others notice and end:
    /// the server cannot start again before that. A process that hangs and does not notice is
    /// killed too.
    pub fn kill(&mut self) {
        self.end("kill");
        if !self.is_within(PATIENCE / 4, |server| !server.has_processes()) {
            for process in self.processes() {
                let _ = kill_process(process, Signal::KILL); // it may have ended by itself
            }
        }
        self.wait_until("ends", |server| !server.has_processes());
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&Server) -> bool) {
        let is_so = self.is_within(PATIENCE, is_so);
        assert!(is_so, "not within {PATIENCE:?}: the server {what}: {}", self.log());
    }

    fn is_within(&self, duration: Duration, is_so: impl Fn(&Server) -> bool) -> bool {
        let start = Instant::now();
        while !is_so(self) {
            if start.elapsed() >= duration {
                return false;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        true
    }

    fn has_processes(&self) -> bool {
        !self.processes().is_empty()
    }

    /// Returns all processes of the server, which run in its folder.
    fn processes(&self) -> Vec<Pid> {
        let data = self.data();
        let is_of_server = |process: &std::fs::DirEntry| {
            std::fs::read_link(process.path().join("cwd")).is_ok_and(|folder| folder == data)
        };
        let processes = std::fs::read_dir("/proc").unwrap().flatten().filter(is_of_server);
        processes.filter_map(|process| Pid::from_raw(process.file_name().to_str()?.parse().ok()?)).collect()
    }

    fn end(&mut self, word: &str) {
        use std::io::Write;
        writeln!(self.keeper.stdin.take().unwrap(), "{word}").unwrap();
        let start = Instant::now();
        while self.keeper.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < PATIENCE, "the server does not {word}: {}", self.log());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Waits until the server accepts connections.
    pub fn wait(&self) {
        self.wait_until("takes connections", Server::takes_connections);
    }

    fn takes_connections(&self) -> bool {
        self.database_named("postgres").try_rows("SELECT 1").is_ok()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Returns the port of 127.0.0.1 that the server listens on, which is also in the name of its
    /// socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Creates a new database.
    pub fn database(&self) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        self.database_named("postgres").execute(&format!("CREATE DATABASE {name}"));
        self.database_named(&name)
    }

    pub fn database_named(&self, name: &str) -> Database {
        Database { folder: self.folder.clone(), port: self.port, name: name.into() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.keeper.stdin.is_some() {
            self.end("kill");
        }
    }
}

/// Returns a free port that stays free until it is used, and between two uses: the system assigns
/// it to no program that requests any free port.
pub fn lasting_port() -> u16 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let given = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let end = given.split_ascii_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768);
    let start = 10_000;
    assert!(
        end > 2 * start,
        "these tests take ports below {end}, where no other program should be given any"
    );
    // Processes that run tests at the same time start at different ports.
    let first = std::process::id().wrapping_mul(61);
    let ports = std::iter::repeat_with(|| {
        let number = first.wrapping_add(NUMBER.fetch_add(1, Relaxed));
        start + (number % u32::from(end - start)) as u16
    });
    let mut free = ports.filter(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().unwrap()
}

fn run(folder: &Path, user: Option<u32>, port: u16, settings: &[String]) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let mut command = command("sh", user, folder);
    command.args(["-c", KEEPER]).arg(program("postgres")).args(["-p", &port.to_string(), "-k"]).arg(folder);
    for setting in ["listen_addresses=127.0.0.1", "shared_buffers=32MB", "log_line_prefix=%m [%p] %a "] {
        command.args(["-c", setting]);
    }
    for setting in settings {
        command.args(["-c", setting]);
    }
    command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

impl Database {
    /// Returns the URL over the Unix socket, as the superuser.
    pub fn url(&self) -> String {
        self.url_as("postgres")
    }

    pub fn url_as(&self, user: &str) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://{user}@{folder}:{}/{}", self.port, self.name)
    }

    /// Returns the URL over TCP, through a port of this machine.
    pub fn url_by_port(&self, port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/{}", self.name)
    }

    pub fn execute(&self, sql: &str) {
        self.rows(sql);
    }

    /// Returns the rows of the last statement, as text.
    pub fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.try_rows(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Returns the single value of a statement, and "" for NULL.
    pub fn value(&self, sql: &str) -> String {
        self.rows(sql)[0][0].clone().unwrap_or_default()
    }

    pub fn try_rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        // Uses a thread of its own, because the current one may be in the middle of an async test.
        std::thread::scope(|scope| scope.spawn(|| self.ask(sql)).join().unwrap())
    }

    fn ask(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let path = self.folder.join(format!(".s.PGSQL.{}", self.port));
            let socket = tokio::net::UnixStream::connect(path).await.map_err(|error| error.to_string())?;
            let mut config = Config::new();
            config.user("postgres").dbname(&self.name);
            let told = |error: tokio_postgres::Error| match error.as_db_error() {
                Some(refusal) => refusal.message().to_owned(),
                None => error.to_string(),
            };
            let (client, connection) = config.connect_raw(socket, NoTls).await.map_err(told)?;
            tokio::spawn(connection);
            let messages = client.simple_query(sql).await.map_err(told)?;
            let mut rows = Vec::new();
            for message in messages {
                match message {
                    SimpleQueryMessage::RowDescription(_) => rows.clear(),
                    SimpleQueryMessage::Row(row) => {
                        rows.push((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect());
                    }
                    _ => {}
                }
            }
            Ok(rows)
        })
    }
}
