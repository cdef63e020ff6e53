//! The engine as a child process: start, lifeline, readiness, end.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use onyx_protocol::startup::{RecoveryEnd, Startup};
use onyx_protocol::{PROTOCOL_VERSION, codec};
use pgrx::pg_sys;
use serde::Serialize;

use crate::{VERSION, guc, paths};

/// Time an engine has to end by itself when the server shuts down.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A running engine. Its standard input is the lifeline: the engine exits at its end, however the
/// supervisor ends. Its standard output says one byte when it accepts connections, and closes when
/// it dies, which wakes the supervisor at once.
pub struct Engine {
    child: Child,
    lifeline: Option<ChildStdin>,
    output: ChildStdout,
    in_recovery: bool,
    ready: bool,
}

impl Engine {
    /// Starts it with its first message. Its directory is there.
    pub fn start(recovery: Option<RecoveryEnd>) -> Result<Self, String> {
        let program = paths::engine();
        let mut child = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // The server's standard error: the log.
            .stderr(Stdio::inherit())
            // Signals for the postmaster's children go to their process groups; the engine ends by
            // its lifeline, after the backends that may still need it.
            .process_group(0)
            .spawn()
            .map_err(|e| format!("could not execute \"{program}\": {e}"))?;
        let (Some(lifeline), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("its standard input and output are not piped".into());
        };
        let in_recovery = recovery.is_none();
        let mut engine =
            Self { child, lifeline: Some(lifeline), output, in_recovery, ready: false };
        engine.set_nonblocking()?;
        engine.send(&Startup {
            protocol_version: PROTOCOL_VERSION,
            version: VERSION.into(),
            // SAFETY: reads shared memory that is set before any worker starts.
            system_identifier: unsafe { pg_sys::GetSystemIdentifier() },
            socket_path: paths::SOCKET.into(),
            store_path: paths::store(),
            onnxruntime_path: paths::onnxruntime(),
            recovery,
            recovery_path: paths::RECOVERY.into(),
            settings: guc::engine_settings(),
        });
        Ok(engine)
    }

    fn set_nonblocking(&self) -> Result<(), String> {
        rustix::io::ioctl_fionbio(&self.output, true)
            .map_err(|e| format!("could not set up its output: {e}"))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it was started while the server was in recovery.
    pub fn started_in_recovery(&self) -> bool {
        self.in_recovery
    }

    /// Sends a message down the lifeline. A failure means it is dead, which `ended` tells.
    pub fn send<T: Serialize>(&mut self, message: &T) {
        let (Some(pipe), Ok(bytes)) = (self.lifeline.as_mut(), codec::encode(message)) else {
            return;
        };
        // A message is far smaller than a pipe's buffer, so this does not block.
        let _ = pipe.write_all(&(bytes.len() as u32).to_le_bytes());
        let _ = pipe.write_all(&bytes);
    }

    /// Whether it accepts connections.
    pub fn is_ready(&mut self) -> bool {
        let mut byte = [0];
        if !self.ready && matches!(self.output.read(&mut byte), Ok(1)) {
            self.ready = true;
        }
        self.ready
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit code {code}; its log lines say why"),
                (None, Some(signal)) => format!("killed by signal {signal}"),
                (None, None) => "unknown status".into(),
            }),
            Err(e) => Some(format!("could not be waited for: {e}")),
        }
    }

    /// Sleeps until the latch is set, the engine says something or dies, or time is up.
    pub fn wait(&self, timeout: Duration, ready: bool) {
        // Before it is ready its byte, afterwards only the end of its output, makes it readable.
        let _ = ready;
        let events = pg_sys::WL_LATCH_SET
            | pg_sys::WL_TIMEOUT
            | pg_sys::WL_SOCKET_READABLE
            | pg_sys::WL_EXIT_ON_PM_DEATH;
        // SAFETY: MyLatch is this process's own latch; the descriptor is open as long as `self`.
        unsafe {
            pg_sys::WaitLatchOrSocket(
                pg_sys::MyLatch,
                events as i32,
                self.output.as_raw_fd(),
                timeout.as_millis() as _,
                pg_sys::PG_WAIT_EXTENSION,
            );
            pg_sys::ResetLatch(pg_sys::MyLatch);
        }
        pgrx::check_for_interrupts!();
    }

    /// Lets go of the lifeline and waits for the end; kills it when it takes too long.
    pub fn stop(&mut self) {
        self.lifeline = None;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.ended().is_none() {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.lifeline = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The directory of the socket, which only the server's user may enter.
pub fn create_directory() -> Result<(), String> {
    use std::fs::{DirBuilder, Permissions, set_permissions};
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let directory = paths::ONYX_DIRECTORY;
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            set_permissions(directory, Permissions::from_mode(0o700))
        }
        Err(e) => Err(e),
    }
    .map_err(|e| format!("could not prepare directory \"{directory}\": {e}"))
}
