//! Threads that say what they are for, and whose start may fail.

use std::panic::resume_unwind;
use std::thread::{Builder, Scope, ScopedJoinHandle};

use super::LayerError;

/// Starts a named thread.
pub(super) fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, LayerError> {
    Builder::new().name(name.to_owned()).spawn_scoped(scope, work).map_err(|source| LayerError::Thread { source })
}

/// Waits for a thread; its panic becomes the caller's.
pub(super) fn join<T>(handle: ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| resume_unwind(panic))
}
