//! The socket: who may connect, and a thread for each who does.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;

use super::{Engine, connection};

/// Listens at a path. A socket left by a predecessor is replaced: the store's lock, which is held by
/// now, says that it is dead.
pub fn start(engine: &Arc<Engine>, path: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    let engine = Arc::clone(engine);
    thread::Builder::new().name("listener".into()).spawn(move || {
        for stream in listener.incoming() {
            match stream {
                Ok(stream) => accept(&engine, stream),
                Err(error) => {
                    log::warn!("could not accept a connection: {error}");
                    // Out of descriptors or memory: others have to end first.
                    thread::sleep(std::time::Duration::from_millis(50));
                }
            }
        }
    })?;
    Ok(())
}

fn accept(engine: &Arc<Engine>, stream: UnixStream) {
    match rustix::net::sockopt::socket_peercred(&stream) {
        Ok(peer) if peer.uid == rustix::process::geteuid() => {}
        _ => {
            log::warn!("refused a connection of another user");
            return;
        }
    }
    let engine = Arc::clone(engine);
    let spawned = thread::Builder::new()
        .name("connection".into())
        .spawn(move || connection::serve(&engine, &stream));
    if let Err(error) = spawned {
        log::warn!("could not start a thread for a connection: {error}");
    }
}
