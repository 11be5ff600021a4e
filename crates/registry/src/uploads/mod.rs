//! What is being pushed: parts of a blob below `_r/up/`, and the session that names them.
//!
//! Every part is an object of its own, written once, under a name that nobody guesses. The session in the client's URL names the
//! last one; beside a part that is not the last lies a link to the one before it, a small object that is written from the signed
//! session when the next part comes. So of two who push with one session at the same time, each ends up with its own chain, and
//! what was hashed is what becomes the blob.

mod receiving;
mod session;

use plugin_oci::documents::json;
use plugin_oci::stores::bucket::objects::JSON;
use plugin_oci::values::digest::{Algorithm, Digest, Hasher};
use serde::{Deserialize, Serialize};

pub(crate) use self::receiving::{Incoming, Limits};
pub(crate) use self::session::{Session, Tail};

use crate::fault::Fault;
use crate::keys::unguessable;
use crate::store::{Condition, Kind, Store, StoreFault, UPLOADS};

/// How long a session may last: 24 hours, in seconds.
pub(crate) const LIFETIME: u64 = 24 * 60 * 60;
/// How many parts an upload may have.
const PARTS: u32 = 10_000;

/// The link beside a part.
#[derive(Serialize, Deserialize)]
struct Link {
    before: Option<Tail>,
}

impl Session {
    fn folder(&self) -> String {
        format!("{UPLOADS}{}/", self.id)
    }

    fn part(&self, tail: &Tail) -> String {
        format!("{}{}", self.folder(), tail.part)
    }

    fn cancelled(&self) -> String {
        format!("{}cancelled", self.folder())
    }

    fn hasher(&self) -> Result<Hasher, Fault> {
        Hasher::resumed(self.algorithm()?, &self.state).ok_or_else(|| Fault::upload_unknown("this session is none of ours"))
    }

    fn algorithm(&self) -> Result<Algorithm, Fault> {
        algorithm(&self.algorithm).ok_or_else(|| Fault::upload_unknown("this session is none of ours"))
    }
}

/// The algorithm of a name.
pub(crate) fn algorithm(name: &str) -> Option<Algorithm> {
    [Algorithm::Sha256, Algorithm::Sha512].into_iter().find(|algorithm| algorithm.as_str() == name)
}

/// Whether nobody has cancelled it.
pub(crate) async fn check(store: &Store, session: &Session) -> Result<(), Fault> {
    match store.head(&session.cancelled()).await? {
        None => Ok(()),
        Some(_) => Err(Fault::upload_unknown("this upload was cancelled")),
    }
}

/// Takes another part; the session after it.
pub(crate) async fn extend(store: &Store, session: &Session, incoming: Incoming) -> Result<Session, Fault> {
    check(store, session).await?;
    if session.parts >= PARTS {
        return Err(Fault::size_invalid("this upload has too many chunks: send larger ones"));
    }
    let mut next = session.clone();
    let tail = Tail { part: unguessable() };
    let mut hasher = session.hasher()?;
    let mut writer = store.begin(&session.part(&tail), incoming.length()).await?;
    let length = incoming.into_writer(&mut writer, &mut hasher, session.offset).await?;
    if length == 0 {
        return Ok(next);
    }
    writer.finish().await?;
    if session.tail.is_some() {
        // The link of the new part, before anybody can know that part.
        let link = json::to_canonical(&serde_json::json!(Link { before: session.tail.clone() }));
        store.put(&format!("{}.link", session.part(&tail)), &Kind::changing(JSON), link, Condition::None).await?;
    }
    next.offset += length;
    next.parts += 1;
    next.state = hasher.state();
    next.tail = Some(tail);
    Ok(next)
}

/// Makes a blob of everything, once its digest is what it is said to be.
pub(crate) async fn finish(
    store: &Store,
    session: &Session,
    incoming: Option<Incoming>,
    digest: &Digest,
    key: &str,
) -> Result<(), Fault> {
    check(store, session).await?;
    let chain = chain(store, session).await?;
    let is_same_algorithm = session.algorithm()? == digest.algorithm();
    let mut hasher = if is_same_algorithm { session.hasher()? } else { Hasher::with(digest.algorithm()) };
    if let ([only], None, true) = (&chain[..], &incoming, is_same_algorithm) {
        check_digest(hasher, digest)?;
        let part = session.part(only);
        let size = store.head(&part).await?.map(|meta| meta.size);
        if size != Some(session.offset) {
            return Err(Fault::upload_unknown("this upload was finished already"));
        }
        store.copy(&part, key, session.offset).await?;
    } else {
        let more = incoming.as_ref().map_or(Some(0), Incoming::length);
        let mut writer = store.begin(key, more.and_then(|more| more.checked_add(session.offset))).await?;
        for tail in &chain {
            let hashed = if is_same_algorithm { None } else { Some(&mut hasher) };
            append(store, &session.part(tail), &mut writer, hashed).await?;
        }
        if let Some(incoming) = incoming {
            incoming.into_writer(&mut writer, &mut hasher, session.offset).await?;
        }
        check_digest(hasher, digest)?;
        writer.finish().await?;
    }
    remove(store, session, &chain).await;
    Ok(())
}

async fn append(
    store: &Store,
    key: &str,
    writer: &mut crate::store::Writer,
    mut hasher: Option<&mut Hasher>,
) -> Result<(), Fault> {
    use futures_util::StreamExt as _;
    let crate::store::Read::Found { mut pieces, .. } = store.read(key, None).await? else {
        return Err(Fault::upload_unknown("this upload was finished already"));
    };
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        if let Some(hasher) = &mut hasher {
            hasher.update(&piece);
        }
        writer.write(piece).await?;
    }
    Ok(())
}

/// Writes a whole blob that comes in one request.
pub(crate) async fn whole(store: &Store, incoming: Incoming, digest: &Digest, key: &str) -> Result<(), Fault> {
    let (mut writer, mut hasher) = (store.begin(key, incoming.length()).await?, Hasher::with(digest.algorithm()));
    incoming.into_writer(&mut writer, &mut hasher, 0).await?;
    check_digest(hasher, digest)?;
    Ok(writer.finish().await?)
}

fn check_digest(hasher: Hasher, digest: &Digest) -> Result<(), Fault> {
    let found = hasher.finish();
    if found == *digest { Ok(()) } else { Err(Fault::digest_invalid(format!("the content is {found}"))) }
}

/// The parts in order.
async fn chain(store: &Store, session: &Session) -> Result<Vec<Tail>, Fault> {
    let (mut parts, mut next) = (Vec::new(), session.tail.clone());
    while let Some(tail) = next {
        parts.push(tail.clone());
        next = None;
        if (parts.len() as u64) < u64::from(session.parts) {
            let key = format!("{}.link", session.part(&tail));
            let link = store.get(&key).await?.ok_or_else(|| Fault::upload_unknown("this upload was finished already"))?;
            next = serde_json::from_slice::<Link>(&link.bytes).map_err(|error| StoreFault::new(&key, error))?.before;
        }
    }
    parts.reverse();
    Ok(parts)
}

/// Removes what is no longer needed. What stays expires.
async fn remove(store: &Store, session: &Session, chain: &[Tail]) {
    for (number, tail) in chain.iter().enumerate() {
        let part = session.part(tail);
        drop(store.delete(&part).await);
        if number > 0 {
            drop(store.delete(&format!("{part}.link")).await);
        }
    }
}

/// Forgets an upload.
pub(crate) async fn cancel(store: &Store, session: &Session) -> Result<(), Fault> {
    check(store, session).await?;
    store.put(&session.cancelled(), &Kind::changing(JSON), b"{}".to_vec(), Condition::None).await?;
    for entry in store.list(&session.folder()).await?.iter().filter(|entry| entry.key != session.cancelled()) {
        store.delete(&entry.key).await?;
    }
    Ok(())
}
