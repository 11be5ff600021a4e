//! Bodies of requests on their way into the store.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt as _;
use plugin_oci::values::digest::Hasher;

use crate::fault::Fault;
use crate::store::{TURN, Writer};

/// What a body may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most bytes of a blob.
    pub(crate) blob: u64,
    /// How long to wait for a piece.
    pub(crate) patience: Duration,
}

/// A body.
pub(crate) struct Incoming {
    stream: BodyDataStream,
    limits: Limits,
    length: Option<u64>,
}

impl Incoming {
    /// A body, and how long it is said to be.
    pub(crate) fn new(body: Body, length: Option<u64>, limits: Limits) -> Self {
        Self { stream: body.into_data_stream(), limits, length }
    }

    /// How long it is said to be.
    pub(crate) const fn length(&self) -> Option<u64> {
        self.length
    }

    /// Hashes it and writes it; how many bytes it had. `before` bytes of the blob are there already.
    pub(crate) async fn into_writer(mut self, writer: &mut Writer, hasher: &mut Hasher, before: u64) -> Result<u64, Fault> {
        let room = self.limits.blob.saturating_sub(before);
        let too_large = || Fault::too_large("a blob has too many bytes");
        if self.length.is_some_and(|length| length > room) {
            return Err(too_large());
        }
        let mut length = 0;
        while let Some(piece) = self.next(Some(writer)).await? {
            length += piece.len() as u64;
            if length > room {
                return Err(too_large());
            }
            hasher.update(&piece);
            writer.write(piece).await?;
        }
        if self.length.is_some_and(|said| said != length) {
            return Err(Fault::size_invalid("the body is not as long as its head says"));
        }
        Ok(length)
    }

    /// All of it, where it is small.
    pub(crate) async fn read(mut self, limit: u64) -> Result<Vec<u8>, Fault> {
        let too_large = || Fault::too_large(format!("a manifest has at most {limit} bytes"));
        if self.length.is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        while let Some(piece) = self.next(None).await? {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > limit {
                return Err(too_large());
            }
        }
        Ok(bytes)
    }

    async fn next(&mut self, mut writer: Option<&mut Writer>) -> Result<Option<bytes::Bytes>, Fault> {
        let mut left = self.limits.patience;
        loop {
            match tokio::time::timeout(left.min(TURN), self.stream.next()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(piece))) => return Ok(Some(piece)),
                Ok(Some(Err(_))) => return Err(Fault::upload_invalid("the body ended too early")),
                Err(_) if left <= TURN => return Err(Fault::slow("the body comes too slowly")),
                Err(_) => left -= TURN,
            }
            if let Some(writer) = &mut writer {
                writer.give_way().await?;
            }
        }
    }
}
