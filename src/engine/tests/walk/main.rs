//! Walks of directories.

mod bad_input;
mod directories;
mod support;
mod unprivileged;
