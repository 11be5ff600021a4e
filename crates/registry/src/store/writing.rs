//! An object that is sent to a bucket in parts; in one request where it is small.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, MultipartUpload, ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions,
};

use super::buffers::PIECE;
use super::parts::{Part, Room, TOGETHER};
use super::{Kind, StoreFault};

/// Stores want parts of 5 MiB at least, and some want all but the last to be of one size.
const PART: usize = 8 << 20;
/// Later parts are larger, as S3 takes no more than 10,000: together 175 GiB. Where all have to be of one size, 20 GiB.
const PARTS_OF_A_SIZE: usize = 2_500;

/// An object that is not yet there.
pub(crate) struct Writing {
    store: Arc<dyn ObjectStore>,
    room: Arc<Room>,
    path: Path,
    /// How many bytes are still to come, where that is known.
    left: Option<u64>,
    part: Option<Part>,
    /// Where a part lies that did not get full in time, and whether it does.
    elsewhere: (Path, bool),
    parts: usize,
    upload: Option<Box<dyn MultipartUpload>>,
}

impl Writing {
    pub(super) fn new(store: Arc<dyn ObjectStore>, room: Arc<Room>, path: Path, elsewhere: Path, left: Option<u64>) -> Self {
        Self { store, room, path, left, part: None, elsewhere: (elsewhere, false), parts: 0, upload: None }
    }

    fn failed(&self, error: &Error) -> StoreFault {
        StoreFault::new(self.path.as_ref(), error)
    }

    /// Bytes of the part that comes now, unless it is the last.
    fn full(&self) -> usize {
        (PART * (1 + self.parts / PARTS_OF_A_SIZE)).min(TOGETHER)
    }

    /// Bytes of it, where nothing of it is there yet.
    fn size(&self) -> usize {
        match self.left.and_then(|left| usize::try_from(left).ok()) {
            Some(left) if left > 0 => left.min(self.full()),
            // What small blobs need, where nobody says how large this one is.
            None if self.parts == 0 => PIECE,
            _ => self.full(),
        }
    }

    pub(super) async fn write(&mut self, mut bytes: Bytes) -> Result<(), StoreFault> {
        while !bytes.is_empty() {
            let mut part = self.begun(true).await?;
            let before = bytes.len();
            self.room.fill(&mut part, &mut bytes);
            self.left = self.left.map(|left| left.saturating_sub((before - bytes.len()) as u64));
            if part.length() == self.full() { self.send(part).await? } else { self.part = Some(part) }
        }
        self.give_way().await
    }

    /// The part that gets full, with room for more if more is to come.
    async fn begun(&mut self, is_more: bool) -> Result<Part, StoreFault> {
        if let Some(mut part) = self.part.take() {
            if !is_more || !part.is_full() || self.room.grow(&mut part, self.full()) {
                return Ok(part);
            }
            self.put_aside(part).await?;
        }
        if !self.elsewhere.1 {
            return self.room.part(self.size()).await;
        }
        let mut part = self.room.part(self.full()).await?;
        let found = self.store.get(&self.elsewhere.0).await.map_err(|error| self.failed(&error))?;
        let mut pieces = found.into_stream();
        while let Some(mut piece) = pieces.try_next().await.map_err(|error| self.failed(&error))? {
            self.room.fill(&mut part, &mut piece);
        }
        self.elsewhere.1 = false;
        // What is left there expires.
        drop(self.store.delete(&self.elsewhere.0).await);
        Ok(part)
    }

    /// Lets others have the room of a part that does not get full.
    pub(super) async fn give_way(&mut self) -> Result<(), StoreFault> {
        match self.part.take_if(|part| self.room.is_overdue(part)) {
            Some(part) => self.put_aside(part).await,
            None => Ok(()),
        }
    }

    async fn put_aside(&mut self, part: Part) -> Result<(), StoreFault> {
        let (payload, _room) = part.sent();
        self.store.put(&self.elsewhere.0, payload).await.map_err(|error| self.failed(&error))?;
        self.elsewhere.1 = true;
        Ok(())
    }

    async fn send(&mut self, part: Part) -> Result<(), StoreFault> {
        let (payload, _room) = part.sent();
        let mut upload = if let Some(upload) = self.upload.take() {
            upload
        } else {
            let options = PutMultipartOptions { attributes: attributes(&Kind::blob()), ..PutMultipartOptions::default() };
            self.store.put_multipart_opts(&self.path, options).await.map_err(|error| self.failed(&error))?
        };
        let sent = upload.put_part(payload).await;
        self.upload = Some(upload);
        self.parts += 1;
        sent.map_err(|error| self.failed(&error))
    }

    pub(super) async fn finish(mut self) -> Result<(), StoreFault> {
        let last = if self.part.is_some() || self.elsewhere.1 { Some(self.begun(false).await?) } else { None };
        if self.upload.is_none() {
            let (payload, _room) = last.map(Part::sent).unzip();
            let options = PutOptions { attributes: attributes(&Kind::blob()), ..PutOptions::default() };
            let put = self.store.put_opts(&self.path, payload.unwrap_or_default(), options).await;
            return put.map(drop).map_err(|error| self.failed(&error));
        }
        if let Some(part) = last {
            self.send(part).await?;
        }
        match self.upload.take() {
            Some(mut upload) => upload.complete().await.map(drop).map_err(|error| self.failed(&error)),
            None => Ok(()),
        }
    }
}

impl Drop for Writing {
    /// The store need not keep what nobody will finish.
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if let Some(mut upload) = self.upload.take() {
            runtime.spawn(async move { drop(upload.abort().await) });
        }
        if self.elsewhere.1 {
            let (store, path) = (self.store.clone(), self.elsewhere.0.clone());
            runtime.spawn(async move { drop(store.delete(&path).await) });
        }
    }
}

pub(super) fn attributes(kind: &Kind) -> Attributes {
    Attributes::from_iter([
        (Attribute::ContentType, kind.content_type.clone()),
        (Attribute::CacheControl, kind.cache_control.to_owned()),
    ])
}
