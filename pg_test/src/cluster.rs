//! A server's life: start, stop, crash, its engine.
//!
//! Everything of one test program lies in one temporary directory. A watchdog outside the program
//! stops what still runs there and removes it when the program ends, however it ends.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use postgres::error::DbError;
use postgres::{Client, NoTls};

use crate::process::{self, Signal};
use crate::{Sql, eventually, install};

/// How long a server may take to come up or go down. Generous: machines of tests are busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// No statement of a test hangs longer.
const STATEMENT_TIMEOUT: &str = "60s";

/// Stops the servers below a directory and removes it at the end of its standard input.
const WATCHDOG: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
for file in "$1"/*/data/postmaster.pid; do
    [ -f "$file" ] && read -r pid <"$file" || continue
    [ "$(readlink "/proc/$pid/cwd")" = "$(dirname "$file")" ] && kill -QUIT "$pid"
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        kill -0 "$pid" || break
        sleep 0.25
    done
done
[ -n "$ONYX_TEST_KEEP" ] || rm -rf "$1"
"#;

struct Base {
    directory: PathBuf,
    /// Its standard input is the lifeline, and closes with this program.
    _watchdog: Child,
}

/// The directory of everything this test program makes.
///
/// # Panics
/// When it cannot be made.
pub fn base_directory() -> &'static Path {
    static BASE: OnceLock<Base> = OnceLock::new();
    let base = BASE.get_or_init(|| {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::Builder::new()
            .prefix("onyx-test-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .expect("a temporary directory")
            .keep();
        install::give_to_server(&directory);
        let watchdog = Command::new("/bin/sh")
            .args(["-c", WATCHDOG, "onyx-test-watchdog"])
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a watchdog");
        Base { directory, _watchdog: watchdog }
    });
    &base.directory
}

/// A freshly initialised data directory, copied for each cluster.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let directory = base_directory().join("template");
        let output = install::command(install::program("initdb"))
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"])
            .args(["--no-sync", "--no-instructions", "--pgdata"])
            .arg(&directory)
            .output()
            .expect("initdb");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        directory
    })
}

/// How a cluster is configured.
#[derive(Debug, Clone)]
pub struct Config {
    settings: Vec<(String, String)>,
}

impl Default for Config {
    fn default() -> Self {
        let settings = [
            ("listen_addresses", ""),
            ("shared_preload_libraries", "onyx"),
            ("shared_buffers", "32MB"),
            ("max_connections", "50"),
            ("max_worker_processes", "16"),
            ("max_prepared_transactions", "4"),
            // Servers here are killed, machines are not: what the kernel has is safe.
            ("fsync", "off"),
            // Vacuum runs when a test says so.
            ("autovacuum", "off"),
            ("log_line_prefix", "%m [%p] %b "),
        ];
        Self { settings: settings.map(|(n, v)| (n.into(), v.into())).into() }
            .set("onyx.maintenance_naptime", "1s")
    }
}

impl Config {
    /// A small fast server with Onyx loaded.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a setting.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Without Onyx among `shared_preload_libraries`.
    #[must_use]
    pub fn not_preloaded(mut self) -> Self {
        self.settings.retain(|(name, _)| !name.starts_with("onyx."));
        self.set("shared_preload_libraries", "")
    }

    /// With every write forced to disk, as real servers have it.
    #[must_use]
    pub fn durable(self) -> Self {
        self.set("fsync", "on").set("synchronous_commit", "on")
    }
}

/// A server of its own. It is stopped, and its directory removed, with the value.
pub struct Cluster {
    directory: PathBuf,
    server: Mutex<Option<Child>>,
    /// Where its programs are, unless they are those of the server under test.
    programs: Option<PathBuf>,
}

impl Cluster {
    /// Makes and starts one.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(config: Config) -> Self {
        let cluster = Self::without_data();
        let status = install::command("cp")
            .args(["-a", "--reflink=auto"])
            .arg(template())
            .arg(cluster.data())
            .status()
            .expect("cp");
        assert!(status.success(), "cp: {status}");
        cluster.configure("unix_socket_directories", &cluster.directory.display().to_string());
        for (name, value) in &config.settings {
            cluster.configure(name, value);
        }
        cluster.start_again();
        cluster
    }

    fn without_data() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = base_directory().join(format!("c{number}"));
        fs::create_dir(&directory).expect("a cluster's directory");
        install::give_to_server(&directory);
        Self { directory, server: Mutex::new(None), programs: None }
    }

    /// A physical copy by `pg_basebackup`, not started.
    ///
    /// # Panics
    /// When there is none.
    pub fn base_backup(&self) -> Self {
        let copy = Self::without_data();
        let output = install::command(install::program("pg_basebackup"))
            .args(["-U", "postgres", "--checkpoint=fast", "--no-sync", "-h"])
            .arg(&self.directory)
            .arg("-D")
            .arg(copy.data())
            .output()
            .expect("pg_basebackup");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        copy.configure("unix_socket_directories", &copy.directory.display().to_string());
        copy
    }

    /// A copy of the data directory of a server that does not run, not started.
    ///
    /// # Panics
    /// When there is none.
    pub fn twin(&self) -> Self {
        let copy = Self::without_data();
        let copied = install::command("cp").arg("-a").arg(self.data()).arg(copy.data()).status();
        assert!(copied.expect("cp").success());
        copy.configure("unix_socket_directories", &copy.directory.display().to_string());
        copy
    }

    /// The same of a running one, the store included, as a snapshot of files made one after the other
    /// has it. Files that go away meanwhile are left out.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn copy_running(&self) -> Self {
        let copy = Self::without_data();
        install::command("cp")
            .arg("-a")
            .arg(self.data())
            .arg(copy.data())
            .stderr(Stdio::null())
            .status()
            .expect("cp");
        for file in ["postmaster.pid", "postmaster.opts"] {
            let _ = fs::remove_file(copy.data().join(file));
        }
        copy.configure("unix_socket_directories", &copy.directory.display().to_string());
        copy
    }

    /// What pg_upgrade makes of this one, which does not run, for the newer server whose programs are
    /// in `programs`; not started.
    ///
    /// # Panics
    /// When it refuses.
    pub fn upgrade(&self, programs: &Path) -> Self {
        let mut new = Self::without_data();
        new.programs = Some(programs.to_path_buf());
        let output = install::command(programs.join("initdb"))
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"])
            .args(["--no-sync", "--no-instructions", "--no-data-checksums", "--pgdata"])
            .arg(new.data())
            .output()
            .expect("initdb");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for (name, value) in &Config::new().settings {
            new.configure(name, value);
        }
        new.configure("unix_socket_directories", &new.directory.display().to_string());
        let output = install::command(programs.join("pg_upgrade"))
            .args(["-U", "postgres", "--copy", "--no-sync", "-j", "2"])
            .arg("-b")
            .arg(install::ask("--bindir"))
            .arg("-B")
            .arg(programs)
            .arg("-d")
            .arg(self.data())
            .arg("-D")
            .arg(new.data())
            .args(["-p", "5432", "-P", "5432", "-s"])
            .arg(&new.directory)
            .current_dir(&new.directory)
            .output()
            .expect("pg_upgrade");
        let said = String::from_utf8_lossy(&output.stdout);
        // It says in which file the reason is.
        let reason = said.split('"').find(|part| part.ends_with(".log"));
        let reason = reason.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        let end = reason.len().saturating_sub(3_000);
        assert!(output.status.success(), "{said}\n{}", reason.get(end..).unwrap_or_default());
        new
    }

    /// A running streaming standby.
    ///
    /// # Panics
    /// When it does not start.
    pub fn standby(&self) -> Self {
        let copy = self.base_backup();
        File::create(copy.data().join("standby.signal")).expect("standby.signal");
        let conninfo = format!("host={} user=postgres", self.directory.display());
        copy.configure("primary_conninfo", &conninfo);
        copy.start_again();
        copy
    }

    /// One with Onyx in its database `postgres` and the engine running.
    pub fn ready() -> Self {
        let cluster = Self::start(Config::new());
        cluster.connect().run("CREATE EXTENSION onyx CASCADE");
        cluster.wait_for_engine();
        cluster
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The directory of the socket, for client programs' `-h`.
    pub fn host(&self) -> &Path {
        &self.directory
    }

    /// The engine's store, unless `onyx.store_path` says otherwise.
    pub fn store(&self) -> PathBuf {
        self.data().join("pgsql_tmp_onyx/store")
    }

    /// Adds a line to `postgresql.conf`, which counts at the next start or reload.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn configure(&self, name: &str, value: &str) {
        let path = self.data().join("postgresql.conf");
        let mut file = OpenOptions::new().append(true).open(&path).expect("postgresql.conf");
        writeln!(file, "{name} = '{value}'").expect("postgresql.conf");
    }

    /// Ids of the server's processes and its engine.
    pub fn processes(&self) -> Vec<i32> {
        process::in_directory(&self.data())
    }

    fn server(&self) -> MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_path(&self) -> PathBuf {
        self.directory.join("server.log")
    }

    /// What the server and its engine logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// Starts the server after it ended.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_again(&self) {
        let mut server = self.server();
        assert!(server.is_none(), "the server is running");
        let begun = Instant::now();
        loop {
            let before = self.log().len();
            let mut child = self.spawn();
            match self.wait_for_connections(&mut child) {
                Ok(()) => {
                    *server = Some(child);
                    return;
                }
                // Processes of a killed postmaster end within moments; it says so until then.
                Err(_)
                    if self.log()[before..].contains("pre-existing shared memory block")
                        && begun.elapsed() < PATIENCE =>
                {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(why) => panic!("the server does not start: {why}\n{}", self.log_tail()),
            }
        }
    }

    fn spawn(&self) -> Child {
        let log: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("the server's log");
        let program = match &self.programs {
            Some(programs) => programs.join("postgres"),
            None => install::program("postgres"),
        };
        install::command(program)
            .arg("-D")
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // An interrupt at the terminal is for the test program; the watchdog does the rest.
            .process_group(0)
            .spawn()
            .expect("postgres")
    }

    fn wait_for_connections(&self, child: &mut Child) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(status.to_string());
            }
            match self.try_connect("postgres", |_| {}) {
                Ok(_) => return Ok(()),
                Err(e) if begun.elapsed() > PATIENCE => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(e.to_string());
                }
                Err(_) => std::thread::sleep(Duration::from_millis(25)),
            }
        }
    }

    fn try_connect(
        &self,
        database: &str,
        notice: impl Fn(DbError) + Send + Sync + 'static,
    ) -> Result<Client, postgres::Error> {
        postgres::Config::new()
            .host_path(&self.directory)
            .user("postgres")
            .dbname(database)
            .options(&format!("-c statement_timeout={STATEMENT_TIMEOUT}"))
            .connect_timeout(Duration::from_secs(30))
            .notice_callback(notice)
            .connect(NoTls)
    }

    /// A session in the database `postgres`.
    ///
    /// # Panics
    /// When there is no connection.
    pub fn connect(&self) -> Client {
        self.connect_to("postgres")
    }

    /// A session in a database.
    ///
    /// # Panics
    /// When there is no connection.
    pub fn connect_to(&self, database: &str) -> Client {
        self.try_connect(database, |_| {})
            .unwrap_or_else(|e| panic!("no connection to {database}: {e:?}\n{}", self.log_tail()))
    }

    /// A session in the database `postgres`, or `None` while the server takes none.
    pub fn session(&self) -> Option<Client> {
        self.try_connect("postgres", |_| {}).ok()
    }

    /// Whether the postmaster runs.
    pub fn is_running(&self) -> bool {
        let mut server = self.server();
        server.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// A session, and what the server tells it besides answers.
    ///
    /// # Panics
    /// When there is no connection.
    pub fn connect_hearing(&self, database: &str) -> (Client, Notices) {
        let notices = Notices::default();
        let sink = notices.clone();
        let client = self
            .try_connect(database, move |notice| sink.lock().push(notice))
            .unwrap_or_else(|e| panic!("no connection to {database}: {e:?}"));
        (client, notices)
    }

    /// Makes a database with Onyx in it, and a session there; the engine is running then.
    pub fn database(&self, name: &str) -> Client {
        self.connect().run(&format!("CREATE DATABASE {name}"));
        let mut client = self.connect_to(name);
        client.run("CREATE EXTENSION onyx CASCADE");
        wait_for_engine(&mut client);
        client
    }

    /// Process id of the postmaster.
    ///
    /// # Panics
    /// When the server is not running.
    pub fn postmaster_pid(&self) -> i32 {
        self.server().as_ref().expect("a running server").id() as i32
    }

    /// Waits for an engine that accepts connections, in a cluster whose database `postgres` has
    /// Onyx; returns its process id.
    pub fn wait_for_engine(&self) -> i32 {
        wait_for_engine(&mut self.connect())
    }

    /// Kills the engine as the kernel does when memory is out; returns its process id.
    ///
    /// # Panics
    /// When there is none.
    pub fn kill_engine(&self) -> i32 {
        let pid = self.wait_for_engine();
        assert!(process::signal(pid, Signal::KILL), "no engine {pid} to kill");
        pid
    }

    /// Changes a setting and has the server read it; `None` for the default.
    pub fn set(&self, name: &str, value: Option<&str>) {
        let mut client = self.connect();
        client.run(&match value {
            Some(value) => format!("ALTER SYSTEM SET {name} = '{value}'"),
            None => format!("ALTER SYSTEM RESET {name}"),
        });
        client.run("SELECT pg_reload_conf()");
    }

    /// Kills the engine and keeps it from coming back.
    pub fn disable_engine(&self) {
        self.set("onyx.engine_path", Some("/nowhere/onyx-engine"));
        let mut client = self.connect();
        eventually("the end of the engine", PATIENCE, || {
            let row = client
                .query_one("SELECT pid, last_error FROM onyx.stat_engine", &[])
                .expect("onyx.stat_engine");
            if let Some(pid) = row.get::<_, Option<i32>>(0) {
                process::signal(pid, Signal::KILL);
            }
            row.get::<_, Option<String>>(1).filter(|e| e.contains("/nowhere")).map(drop)
        });
    }

    /// Lets the engine come back; returns its process id.
    pub fn enable_engine(&self) -> i32 {
        self.set("onyx.engine_path", None);
        self.wait_for_engine()
    }

    fn end(&self, signal: Signal) {
        let Some(mut child) = self.server().take() else { return };
        process::signal(child.id() as i32, signal);
        let begun = Instant::now();
        while matches!(child.try_wait(), Ok(None)) {
            if begun.elapsed() > PATIENCE {
                let _ = child.kill();
                let _ = child.wait();
                panic!("the server does not stop\n{}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops the server: sessions are ended, everything is written.
    pub fn stop(&self) {
        self.end(Signal::INT);
    }

    /// Ends the server without writing anything: the next start recovers.
    pub fn stop_immediately(&self) {
        self.end(Signal::QUIT);
    }

    /// Kills the postmaster; its other processes notice and end by themselves.
    pub fn kill_postmaster(&self) {
        self.end(Signal::KILL);
    }

    /// The end of the log, for a failure's message.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- end of the log of {}\n{}", self.directory.display(), self.log_tail());
        }
        if let Some(mut child) = self.server().take() {
            process::signal(child.id() as i32, Signal::QUIT);
            let begun = Instant::now();
            while matches!(child.try_wait(), Ok(None)) && begun.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::env::var_os("ONYX_TEST_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// Notices and warnings a session was sent.
#[derive(Clone, Default)]
pub struct Notices(Arc<Mutex<Vec<DbError>>>);

impl Notices {
    fn lock(&self) -> MutexGuard<'_, Vec<DbError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes those of a severity (`WARNING`, `NOTICE`) that came so far.
    pub fn take(&self, severity: &str) -> Vec<DbError> {
        let all = std::mem::take(&mut *self.lock());
        all.into_iter().filter(|n| n.severity() == severity).collect()
    }
}

/// Waits until the engine accepts connections; returns its process id.
///
/// # Panics
/// When it does not within a minute.
pub fn wait_for_engine(client: &mut Client) -> i32 {
    eventually("a running engine", PATIENCE, || {
        let sql =
            "SELECT pid FROM onyx.stat_engine WHERE state = 'running' AND version IS NOT NULL";
        client.query_opt(sql, &[]).ok().flatten().and_then(|row| row.get::<_, Option<i32>>(0))
    })
}
