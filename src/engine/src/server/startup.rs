//! From the supervisor's first message to the end of standard input.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use onyx_protocol::limits::MAX_FRAME_BYTES;
use onyx_protocol::startup::{Control, Startup};
use onyx_protocol::{PROTOCOL_VERSION, WireError, codec};
use serde::de::DeserializeOwned;

use super::{Engine, background, listener, workers};
use crate::index::Indexes;
use crate::steps;
use crate::store::{Store, StoreError, write};

/// How long a predecessor that is just ending may hold the store.
const STORE_WAIT: Duration = Duration::from_secs(15);

/// Why the engine could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Standard input did not carry a supervisor's message.
    #[error(
        "standard input does not carry a supervisor's message ({0}); the engine is started by PostgreSQL only"
    )]
    Startup(String),
    /// Supervisor and engine do not fit.
    #[error("engine {engine} cannot serve extension {extension}; install both of one version")]
    Version {
        /// Own version and protocol.
        engine: String,
        /// The supervisor's.
        extension: String,
    },
    /// The store could not be opened.
    #[error("{error}: {}", error.detail)]
    Store {
        /// As a client would get it.
        error: WireError,
    },
    /// The socket could not be set up.
    #[error("could not listen on \"{path}\": {cause}")]
    Socket {
        /// Where.
        path: String,
        /// Why not.
        cause: io::Error,
    },
    /// Something else of the operating system.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Runs the engine until its standard input ends.
///
/// # Errors
/// What keeps it from starting; the supervisor logs it and tries again.
pub fn run() -> Result<(), RunError> {
    let mut input = io::stdin().lock();
    let startup: Startup = match read_message(&mut input) {
        Ok(Some(startup)) => startup,
        Ok(None) => return Err(RunError::Startup("it is empty".into())),
        Err(e) => return Err(RunError::Startup(e.to_string())),
    };
    let version = env!("CARGO_PKG_VERSION");
    if startup.protocol_version != PROTOCOL_VERSION || startup.version != version {
        return Err(RunError::Version {
            engine: format!("{version} (protocol {PROTOCOL_VERSION})"),
            extension: format!("{} (protocol {})", startup.version, startup.protocol_version),
        });
    }
    init_log(&startup.settings.log_level);
    stop_at(&startup.settings.stop_at);
    let store = Arc::new(open_store(Path::new(&startup.store_path)).map_err(failed)?);
    steps::at("start.opened");
    let indexes = Indexes::open(
        Arc::clone(&store),
        startup.system_identifier,
        startup.recovery,
        Path::new(&startup.recovery_path),
        workers(&startup.settings),
        startup.settings.memory_limit,
    )
    .map_err(failed)?;
    let engine = Engine::new(
        Arc::clone(&store),
        Arc::clone(&indexes),
        PathBuf::from(&startup.onnxruntime_path),
        startup.settings,
    );
    background::start(&engine)?;
    listener::start(&engine, &startup.socket_path)
        .map_err(|cause| RunError::Socket { path: startup.socket_path.clone(), cause })?;
    steps::at("start.listening");
    // The supervisor waits for this byte.
    io::stdout().write_all(b"+")?;
    io::stdout().flush()?;
    obey(&engine, &mut input);
    // Acknowledged writes are in the write-ahead log already; this only spares the next start some
    // work. Threads end with the process.
    if let Err(error) = store.sync() {
        log::warn!("at exit: {error}");
    }
    Ok(())
}

fn failed(error: WireError) -> RunError {
    RunError::Store { error }
}

/// Ends the engine because the store has refused a write: it refuses every further one until it is
/// opened again, which the supervisor's next start does.
pub fn give_up() -> ! {
    log::error!("the store could not be written; the engine starts again");
    // SAFETY: as in `main`. What was acknowledged was written before the failure.
    unsafe { libc::_exit(1) }
}

/// Takes over where a test wants this process to stop; the test waits for the line.
fn stop_at(setting: &str) {
    steps::set(setting);
    if !setting.is_empty() {
        log::info!("stops at {setting}");
    }
}

/// Follows the supervisor until it lets go.
fn obey(engine: &Engine, input: &mut impl Read) {
    loop {
        match read_message::<Control>(input) {
            Ok(Some(Control::Settings(settings))) => {
                log::set_max_level(level(&settings.log_level));
                engine.embedder.set_threads(settings.embed_threads as usize);
                engine.indexes.set_memory_limit(settings.memory_limit);
                engine.kept.set_memory_limit(settings.memory_limit);
                stop_at(&settings.stop_at);
                *write(&engine.settings) = settings;
            }
            Ok(Some(Control::RecoveryEnded(end))) => {
                if let Err(error) = engine.indexes.recovery_ended(end) {
                    // The next engine is told again.
                    log::error!(
                        "could not take over the end of recovery: {error} {}",
                        error.detail
                    );
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                log::error!("the supervisor sent something unintelligible: {error}");
                return;
            }
        }
    }
}

/// One length-prefixed message; `None` at the end.
fn read_message<T: DeserializeOwned>(input: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(e) => return Err(e),
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "message too long"));
    }
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes)?;
    codec::decode(&bytes).map(Some).map_err(io::Error::other)
}

/// Opens the store. One that is damaged or of a later format is moved aside and an empty one
/// started: all of it can be derived again from PostgreSQL.
fn open_store(path: &Path) -> Result<Store, WireError> {
    let deadline = Instant::now() + STORE_WAIT;
    loop {
        match Store::open(path) {
            Err(StoreError::InUse { .. }) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error @ (StoreError::Corrupt { .. } | StoreError::Version { .. })) => {
                let aside = aside(path);
                let error = WireError::from(error);
                log::error!(
                    "{error}: {} It is moved to \"{}\" and started empty; indexes are rebuilt.",
                    error.detail,
                    aside.display()
                );
                fs::rename(path, &aside).map_err(|e| {
                    WireError::new(onyx_protocol::ErrorKind::StoreIo, "could not move the store")
                        .detail(e.to_string())
                })?;
            }
            opened => return opened.map_err(WireError::from),
        }
    }
}

fn aside(path: &Path) -> PathBuf {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".damaged.{}", now.as_millis()));
    name.into()
}

fn level(name: &str) -> log::LevelFilter {
    name.parse().unwrap_or(log::LevelFilter::Info)
}

/// Standard error is the server's log.
fn init_log(name: &str) {
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Debug)
        .filter_module("ort", log::LevelFilter::Warn)
        .format(|out, record| {
            writeln!(
                out,
                "onyx-engine[{}] {}: {}",
                std::process::id(),
                record.level(),
                record.args()
            )
        })
        .init();
    log::set_max_level(level(name));
}
