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
const LEASES: &str = "_r/leases/";
/// Nobody publishes for longer.
const LIFETIME: Duration = Duration::from_hours(24);

/// What a lease is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Publish,
    Remove,
}

impl Purpose {
    const fn word(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Remove => "remove",
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
            let key = format!("{LEASES}{}-{}", purpose.word(), random());
            if objects.put(&key, &Kind::changing(JSON), b"{}", &Condition::Absent)? {
                break Self { objects, key };
            }
        };
        let all = objects.list(LEASES)?;
        let now = all.iter().find(|entry| entry.key == lease.key).map(|own| own.modified);
        for other in &all {
            let is_ours = other.key.starts_with(&format!("{LEASES}{}-", purpose.word()));
            let age = now.and_then(|now| now.duration_since(other.modified).ok()).unwrap_or_default();
            if age > LIFETIME {
                objects.delete(&other.key)?;
            } else if !is_ours {
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
