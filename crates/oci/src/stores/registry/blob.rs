//! Reading a blob. A broken connection is taken up where it broke (RFC 9110, section 14: `Range`).

use std::io::{self, Read};

use ureq::http::Method;

use super::error::{RegistryError, TransportError};
use super::repository::{Repository, check_digest, stated_digest};
use super::transport::Call;
use super::url::Url;
use crate::documents::Descriptor;
use crate::stores::StoreError;

/// As much must arrive for the count of tries to start anew.
pub(super) const PROGRESS: u64 = 1 << 20;

/// A stream of content, unchecked.
pub(super) struct BlobReader<'a> {
    repository: &'a Repository<'a>,
    url: Url,
    size: u64,
    position: u64,
    stream: Option<Box<dyn Read + Send>>,
    /// How many streams have broken since `since`.
    broken: u32,
    since: u64,
}

impl<'a> BlobReader<'a> {
    /// Opens a blob; `None` where the registry has none.
    pub(super) fn open(repository: &'a Repository<'a>, descriptor: &Descriptor) -> Result<Option<Self>, StoreError> {
        let url = repository.url(&format!("blobs/{}", descriptor.digest))?;
        let access = repository.access();
        let reply = repository.client.send(&Call::new(Method::GET, url.clone()), &access)?;
        if reply.status == 404 {
            reply.drain();
            return Ok(None);
        }
        if reply.status != 200 {
            return Err(repository.client.refused(reply, &access).into());
        }
        check_digest(&reply.url, &descriptor.digest, stated_digest(&reply)?.as_ref())?;
        let stream: Box<dyn Read + Send> = Box::new(reply.stream());
        Ok(Some(Self { repository, url, size: descriptor.size, position: 0, stream: Some(stream), broken: 0, since: 0 }))
    }

    /// Asks for the rest. The inner error is one of the stream, which a further try may mend.
    fn reopen(&mut self) -> Result<io::Result<()>, RegistryError> {
        let access = self.repository.access();
        let call = Call::new(Method::GET, self.url.clone()).header("Range", format!("bytes={}-", self.position));
        let reply = self.repository.client.send(&call, &access)?;
        let starts = format!("bytes {}-", self.position);
        match reply.status {
            206 if reply.header("Content-Range").is_some_and(|range| range.starts_with(&starts)) => {
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
                // A whole answer that is too short. When it stays so, whoever checks the content will say it best.
                Ok(0) if self.position < self.size => {
                    if self.retry(ended()).is_err() {
                        return Ok(0);
                    }
                }
                Ok(count) => {
                    self.position += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.retry(error)?,
            }
        }
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the registry closed the connection before the end")
}
