//! What keeps those who remove apart from those who publish.
//!
//! Whoever publishes relies on what it found to be there, and a removal on what it found to be named: neither may begin while
//! the other is at work. Each writes an object below `_r/` first and looks for those of the other kind then; of two at once, at
//! least one sees the other. A lease that was left behind counts for a day, by the clock of the place.

use std::time::Duration;

use super::objects::{JSON, Kind, Objects};
use super::{BucketError, StoreError};
use crate::stores::registry::Condition;

/// Where leases lie.
pub const LEASES: &str = "_r/leases/";
/// Nobody publishes for longer.
pub const LIFETIME: Duration = Duration::from_hours(24);

/// What a lease is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To rely on what is there.
    Publish,
    /// To remove what nothing names.
    Remove,
    /// A server, which looks before it relies on anything.
    Serve,
    /// The removal that servers take care of.
    Collect,
}

impl Purpose {
    /// What the lease of a key is for; `None` for what nobody here writes.
    pub fn of(key: &str) -> Option<Self> {
        let word = key.strip_prefix(LEASES)?.split('-').next();
        [Self::Publish, Self::Remove, Self::Serve, Self::Collect].into_iter().find(|purpose| word == Some(purpose.word()))
    }

    /// Whether one may not be at work beside the other.
    pub const fn excludes(self, other: Self) -> bool {
        !matches!(
            (self, other),
            (Self::Publish | Self::Serve, Self::Publish | Self::Serve)
                | (Self::Remove, Self::Remove)
                | (Self::Serve, Self::Collect)
                | (Self::Collect, Self::Serve)
        )
    }

    /// A key for a lease, which nobody else has.
    pub fn key(self) -> String {
        format!("{LEASES}{}-{}", self.word(), random())
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Remove => "remove",
            Self::Serve => "serve",
            Self::Collect => "collect",
        }
    }
}

/// Given back when dropped.
pub(super) struct Lease<'a> {
    objects: &'a dyn Objects,
    key: String,
}

impl<'a> Lease<'a> {
    /// Takes one, unless somebody with the other purpose is at work.
    pub(super) fn take(objects: &'a dyn Objects, purpose: Purpose) -> Result<Self, StoreError> {
        let lease = loop {
            let key = purpose.key();
            if objects.put(&key, &Kind::changing(JSON), b"{}", &Condition::Absent)? {
                break Self { objects, key };
            }
        };
        let all = objects.list(LEASES)?;
        let now = all.iter().find(|entry| entry.key == lease.key).map(|own| own.modified);
        for other in &all {
            let excluded = Purpose::of(&other.key).is_none_or(|other| purpose.excludes(other));
            let age = now.and_then(|now| now.duration_since(other.modified).ok()).unwrap_or_default();
            if age > LIFETIME {
                objects.delete(&other.key)?;
            } else if excluded && other.key != lease.key {
                let (store, key) = (objects.name(), other.key.clone());
                return Err(BucketError::InUse { store, key, since: other.modified }.into());
            }
        }
        Ok(lease)
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // It ends by itself, should this fail.
        drop(self.objects.delete(&self.key));
    }
}

/// Sixteen digits that nobody else has.
fn random() -> String {
    use ring::rand::SecureRandom as _;
    let mut bytes = [0; 8];
    // Where there is no randomness, the condition still tells two of them apart.
    let _ = ring::rand::SystemRandom::new().fill(&mut bytes);
    format!("{:016x}", u64::from_le_bytes(bytes))
}
