//! Permission tests that mean something when they run as root.

use rustix::process::{Uid, geteuid};

/// Runs `body` in a thread without root's powers. Credentials of Linux belong to threads, and those
/// it starts inherit them.
pub fn unprivileged<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if geteuid().is_root() {
                let nobody = Uid::from_raw(65534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            body()
        });
        thread.join().unwrap()
    })
}
