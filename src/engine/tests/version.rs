//! Protects a server from an engine of another version, which might read its store or its requests
//! otherwise: such an engine says so and does not start.

use std::io::Write;
use std::process::{Command, Stdio};

use onyx_protocol::startup::{Settings, Startup};
use onyx_protocol::{PROTOCOL_VERSION, codec};

/// Starts the engine with these versions; returns its exit code and what it says.
fn start(protocol_version: u32, version: &str) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    let startup = Startup {
        protocol_version,
        version: version.into(),
        system_identifier: 1,
        socket_path: "engine.sock".into(),
        store_path: directory.path().join("store").display().to_string(),
        onnxruntime_path: String::new(),
        recovery: None,
        recovery_path: "recovery".into(),
        settings: Settings {
            embed_threads: 1,
            workers: 1,
            memory_limit: 1 << 30,
            max_file_size: 1 << 20,
            log_level: "error".into(),
            stop_at: String::new(),
        },
    };
    let message = codec::encode(&startup).unwrap();
    let mut engine = Command::new(env!("CARGO_BIN_EXE_onyx-engine"))
        .current_dir(directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = engine.stdin.take().unwrap();
    input.write_all(&(message.len() as u32).to_le_bytes()).unwrap();
    input.write_all(&message).unwrap();
    drop(input);
    let output = engine.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(directory.path().join("store").exists(), output.status.success(), "{said}");
    (output.status.code(), said)
}

#[test]
fn an_engine_starts_for_its_own_version_only() {
    let own = env!("CARGO_PKG_VERSION");
    let (code, said) = start(PROTOCOL_VERSION, own);
    assert_eq!(code, Some(0), "{said}");
    for (protocol, version) in [(PROTOCOL_VERSION, "99.0.0"), (PROTOCOL_VERSION + 1, own)] {
        let (code, said) = start(protocol, version);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(own) && said.contains(version), "{said}");
        assert!(said.contains(&format!("protocol {protocol}")), "{said}");
    }
}
