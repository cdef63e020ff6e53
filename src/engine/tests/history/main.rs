//! Walks of git repositories.

mod random;
mod repositories;
mod support;
