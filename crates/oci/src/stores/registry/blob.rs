//! Reading a blob. A broken connection is taken up where it broke (RFC 9110, section 14: `Range`).

use std::io::{self, Read};

use ureq::http::Method;

use super::error::{RegistryError, TransportError};
use super::repository::{Repository, check_digest, stated_digest};
use super::transport::Reply;
use super::url::Url;
use crate::stores::StoreError;
use crate::values::digest::Digest;

/// As much must arrive for the count of tries to start anew.
pub(super) const PROGRESS: u64 = 1 << 20;

impl Repository<'_> {
    /// A blob of which nobody knows more than its digest; `None` where it is not there.
    pub fn blob(&self, digest: &Digest) -> Result<Option<BlobReader<'_>>, StoreError> {
        BlobReader::open(self, digest, None, 0)
    }
}

/// A stream of content, unchecked.
pub struct BlobReader<'a> {
    repository: &'a Repository<'a>,
    url: Url,
    size: u64,
    position: u64,
    stream: Option<Box<dyn Read + Send>>,
    /// How the stream is compressed, though nobody asked for that.
    encoding: Option<String>,
    /// How many streams have broken since `since`.
    broken: u32,
    since: u64,
}

impl<'a> BlobReader<'a> {
    /// Opens a blob from an offset on; `None` where the registry has none, or gives it only from its start. Where nobody knows its size,
    /// that is what the registry says.
    pub(super) fn open(
        repository: &'a Repository<'a>,
        digest: &Digest,
        size: Option<u64>,
        offset: u64,
    ) -> Result<Option<Self>, StoreError> {
        let url = repository.url(&format!("blobs/{digest}"))?;
        let access = repository.access();
        let mut call = repository.call(Method::GET, url.clone());
        if offset > 0 {
            call = call.header("Range", format!("bytes={offset}-"));
        }
        let reply = repository.client.send(&call, &access)?;
        match reply.status {
            200 if offset == 0 => {}
            206 if starts_at(&reply, offset) => {}
            // Whoever is not served from there on begins anew, and then hears what is wrong.
            200 | 206 | 404 | 416 => return Ok(None),
            _ => return Err(repository.client.refused(reply, &access).into()),
        }
        check_digest(&reply.url, digest, stated_digest(&reply)?.as_ref())?;
        let size = size.or_else(|| reply.number("Content-Length"));
        let size = size.ok_or_else(|| RegistryError::protocol(&reply.url, "it does not say how long the blob is"))?;
        let encoding = reply.encoding();
        // The label alone may be wrong: storage keeps it for what is compressed by itself, as layers are.
        let is_other = reply.number("Content-Length").is_some_and(|length| length != size - offset.min(size));
        if let Some(encoding) = encoding.clone().filter(|_| is_other) {
            return Err(RegistryError::Encoded { url: reply.url.to_string(), encoding }.into());
        }
        let stream: Box<dyn Read + Send> = Box::new(reply.stream());
        Ok(Some(Self { repository, url, size, position: offset, stream: Some(stream), encoding, broken: 0, since: offset }))
    }

    /// How many bytes the blob has, as the registry says or as was known before.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Of compressed content nobody knows the size beforehand: that it is another tells.
    fn encoded(&self) -> Option<io::Error> {
        let encoding = self.encoding.clone()?;
        Some(io::Error::other(RegistryError::Encoded { url: self.url.to_string(), encoding }))
    }

    /// Asks for the rest. The inner error is one of the stream, which a further try may mend.
    fn reopen(&mut self) -> Result<io::Result<()>, RegistryError> {
        let access = self.repository.access();
        let call = self.repository.call(Method::GET, self.url.clone()).header("Range", format!("bytes={}-", self.position));
        let reply = self.repository.client.send(&call, &access)?;
        match reply.status {
            206 if starts_at(&reply, self.position) => {
                self.stream = Some(Box::new(reply.stream()));
                Ok(Ok(()))
            }
            200 => {
                let mut stream = reply.stream();
                Ok(match io::copy(&mut (&mut stream).take(self.position), &mut io::sink()) {
                    Ok(skipped) if skipped < self.position => Err(ended()),
                    Ok(_) => {
                        self.stream = Some(Box::new(stream));
                        Ok(())
                    }
                    Err(error) => Err(error),
                })
            }
            206 => Err(RegistryError::protocol(&reply.url, "it answers with another range than was asked for")),
            _ => Err(self.repository.client.refused(reply, &access)),
        }
    }

    /// Takes note of a broken stream; gives the error back where there have been too many.
    fn retry(&mut self, error: io::Error) -> io::Result<()> {
        self.stream = None;
        if self.position >= self.since + PROGRESS {
            (self.since, self.broken) = (self.position, 0);
        }
        self.broken += 1;
        if self.repository.client.pause(self.broken, None) { Ok(()) } else { Err(self.explain(error)) }
    }

    fn explain(&self, error: io::Error) -> io::Error {
        let timed_out = error.get_ref().is_some_and(|inner| matches!(inner.downcast_ref(), Some(ureq::Error::Timeout(_))));
        if timed_out || error.kind() == io::ErrorKind::TimedOut {
            return io::Error::other(TransportError::Stalled(self.repository.client.timeouts().stall));
        }
        match TransportError::of_io(error) {
            TransportError::Io(error) => error,
            slow => io::Error::other(slow),
        }
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let Some(stream) = &mut self.stream else {
                // The requests inside were tried again already: an outer error is final.
                if let Err(error) = self.reopen().map_err(io::Error::other)? {
                    self.retry(error)?;
                }
                continue;
            };
            match stream.read(buffer) {
                Ok(0) if self.position < self.size && self.encoding.is_some() => {
                    return Err(self.encoded().unwrap_or_else(ended));
                }
                // A whole answer that is too short. When it stays so, whoever checks the content will say it best.
                Ok(0) if self.position < self.size => {
                    if self.retry(ended()).is_err() {
                        return Ok(0);
                    }
                }
                Ok(count) => {
                    self.position += count as u64;
                    return self.encoded().filter(|_| self.position > self.size).map_or(Ok(count), Err);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.retry(error)?,
            }
        }
    }
}

fn starts_at(reply: &Reply, offset: u64) -> bool {
    reply.header("Content-Range").is_some_and(|range| range.starts_with(&format!("bytes {offset}-")))
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the registry closed the connection before the end")
}
