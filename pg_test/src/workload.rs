//! Work that takes the engine a while: what tests interrupt.

use std::time::{Duration, Instant};

use postgres::Client;
use postgres::error::DbError;

use crate::process::{self, Signal};
use crate::{Tree, eventually};

/// Texts no cache has, as an SQL array.
pub fn new_texts(count: u32, salt: &str) -> String {
    format!(
        "(SELECT array_agg('{salt} ' || i || ' ' || repeat('parses the cookie header of a request ', 8))
          FROM generate_series(1, {count}) i)"
    )
}

/// A tree of Python modules that takes some seconds to ingest: `files` of about 40 kB each.
pub fn big_tree(files: u32) -> Tree {
    let tree = Tree::new();
    for file in 0..files {
        let mut content = String::with_capacity(50_000);
        for i in 0..200 {
            content.push_str(&format!(
                "class Handler{file}x{i}:\n    \"\"\"Handles request {i} of module {file}.\"\"\"\n\n    \
                 def handle(self, request, timeout={i}):\n        if request.value > {i}:\n            \
                 return self.other(request, {file})\n        return None\n\n"
            ));
        }
        tree.write(&format!("package{}/module{file}.py", file % 10), content);
    }
    tree
}

/// Runs a statement in another thread, kills the engine while it is under way, and returns the
/// statement's error, or `None` when it succeeded, and the time from the kill to its end.
///
/// # Panics
/// When the statement ended before the engine was killed, or the session broke.
pub fn kill_engine_during(
    client: &mut Client,
    sql: &str,
    pid: i32,
    delay: Duration,
) -> (Option<DbError>, Duration) {
    std::thread::scope(|scope| {
        let statement = scope.spawn(|| (client.batch_execute(sql), Instant::now()));
        std::thread::sleep(delay);
        assert!(!statement.is_finished(), "too late to kill: it took less than {delay:?}: {sql}");
        let killed = Instant::now();
        assert!(process::signal(pid, Signal::KILL), "no engine {pid}");
        let (result, ended) = statement.join().expect("the statement's thread");
        let error = result.err().map(|e| match e.as_db_error() {
            Some(error) => error.clone(),
            None => panic!("the session broke: {e:?}"),
        });
        (error, ended.saturating_duration_since(killed))
    })
}

/// Waits until a process is gone.
pub fn wait_for_end(pid: i32, timeout: Duration) {
    eventually(&format!("the end of process {pid}"), timeout, || {
        (!process::is_alive(pid)).then_some(())
    });
}
