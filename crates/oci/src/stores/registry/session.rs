//! An upload on its way.

use super::client::Client;
use super::error::RegistryError;
use super::transport::Reply;
use super::url::Url;

/// The size of chunks where the registry states none that they may have at most, unless it or a proxy refuses them.
pub(super) const CHUNK: u64 = 64 << 20;

/// An upload that the registry has opened.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) url: Url,
    /// Bytes that have arrived.
    pub(super) offset: u64,
    /// The least size of a chunk, where the registry asks for chunks.
    pub(super) chunk: Option<u64>,
    /// The largest that a request may be, where the registry says so.
    pub(super) most: Option<u64>,
}

impl Session {
    /// What a 202 opens.
    pub(super) fn of(client: &Client<'_>, reply: &Reply) -> Result<Self, RegistryError> {
        let location = reply
            .header("Location")
            .ok_or_else(|| RegistryError::protocol(&reply.url, "it accepts an upload without a Location"))?;
        let url = client.admit(&reply.url, &location)?;
        let stated = |name| reply.number(name).filter(|size| *size > 0);
        Ok(Self { url, offset: 0, chunk: stated("OCI-Chunk-Min-Length"), most: stated("OCI-Chunk-Max-Length") })
    }

    /// How many of the next `rest` bytes go in one request, where none may carry more than `limit`.
    pub(super) fn part(&self, rest: u64, limit: u64) -> u64 {
        let wanted = if self.chunk.is_some() { CHUNK } else { rest };
        self.most.unwrap_or(wanted).min(limit).max(self.chunk.unwrap_or(1)).min(rest)
    }

    /// Whether a blob goes in one request.
    pub(super) fn takes_whole(&self, size: u64, limit: u64) -> bool {
        self.chunk.is_none() && self.offset == 0 && size <= self.most.unwrap_or(u64::MAX).min(limit)
    }
}
