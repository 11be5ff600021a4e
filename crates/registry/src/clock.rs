//! The time of day, for what expires.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now.
#[expect(clippy::disallowed_methods, reason = "when a request comes reaches no image")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Seconds since 1970.
pub(crate) fn seconds() -> u64 {
    now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
