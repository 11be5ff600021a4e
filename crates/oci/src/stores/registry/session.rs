//! An upload on its way.

use super::client::Client;
use super::error::RegistryError;
use super::transport::Reply;
use super::url::Url;

/// Chunks that the registry asks for are not smaller than this, unless it or a proxy refuses them.
const CHUNK: u64 = 1 << 20;

/// An upload that the registry has opened.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) url: Url,
    /// Bytes that have arrived.
    pub(super) offset: u64,
    /// The least size of a chunk, where the registry asks for chunks.
    pub(super) chunk: Option<u64>,
}

impl Session {
    /// What a 202 opens.
    pub(super) fn of(client: &Client<'_>, reply: &Reply) -> Result<Self, RegistryError> {
        let location = reply
            .header("Location")
            .ok_or_else(|| RegistryError::protocol(&reply.url, "it accepts an upload without a Location"))?;
        let url = client.admit(&reply.url, &location)?;
        Ok(Self { url, offset: 0, chunk: reply.number("OCI-Chunk-Min-Length").filter(|size| *size > 0) })
    }

    /// How many of the next `rest` bytes go in one request, where none may carry more than `limit`.
    pub(super) fn part(&self, rest: u64, limit: u64) -> u64 {
        let wanted = self.chunk.map_or(rest, |least| least.max(CHUNK)).min(limit);
        wanted.max(self.chunk.unwrap_or(1)).min(rest)
    }
}
