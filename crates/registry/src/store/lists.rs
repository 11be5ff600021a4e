//! Lists that say what is there: of tags, of referrers. They change by compare-and-swap.

use std::time::Duration;

use super::{Condition, Kind, Object, Store, StoreFault};

/// How often a change is tried. Of those who try at once one gets through each time.
const ROUNDS: u32 = 500;

/// An entry of a list that stands for an object.
pub(crate) trait Membership {
    /// The key of the list.
    fn list(&self) -> String;
    /// The key of what the entry stands for.
    fn object(&self) -> String;
    /// What the list is served as.
    fn kind(&self) -> Kind;
    /// The list with the entry, or without; `None` where it is already as it should be.
    fn change(&self, list: Option<&Object>, is_there: bool) -> Result<Option<Vec<u8>>, StoreFault>;
}

/// Makes a list say of an object whether it is there.
///
/// Whoever writes or removes the object calls this afterwards. The list is read before the object is looked at, and again after
/// it was changed: whatever another does to the object in the meantime is either seen here, or it sees what was done here.
pub(crate) async fn reconcile(store: &Store, entry: &impl Membership) -> Result<(), StoreFault> {
    let (list, object, kind) = (entry.list(), entry.object(), entry.kind());
    for round in 0..ROUNDS {
        let now = store.get(&list).await?;
        let is_there = store.head(&object).await?.is_some();
        let Some(bytes) = entry.change(now.as_ref(), is_there)? else { return Ok(()) };
        let condition = now.map_or(Condition::Absent, |now| Condition::Unchanged(now.version));
        if !store.put(&list, &kind, bytes, condition).await? {
            // Not all at the same time again.
            let pause = u64::from(std::process::id().wrapping_add(round.wrapping_mul(7)) % 50);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
    Err(StoreFault::new(&list, "it changes faster than it can be written"))
}
