//! Sending a blob (distribution-spec, "Pushing blobs"; docker's registry API v2, "Initiate Blob Upload" and after).
//!
//! Content is checked while it is sent: the last bytes leave only after the whole stream was found true to its descriptor, so
//! that nothing corrupt is ever completed at the registry.
//!
//! A proxy before a registry may limit what one request carries. It says 413, or breaks the connection; after a break the
//! request waits for leave to send its body (RFC 9110, "Expect"), so that 413 can be heard. From then on all uploads go in
//! smaller parts.

use std::io::{self, Read};
use std::sync::atomic::Ordering;
use std::time::Duration;

use ureq::http::Method;

use super::blob::PROGRESS;
use super::client::{REDIRECTS, held};
use super::error::{RegistryError, is_passing_status};
use super::repository::{Repository, check_digest, stated_digest};
use super::session::{CHUNK, Session};
use super::transport::{Call, Payload, Reply};
use crate::documents::Descriptor;
use crate::stores::error::UNKNOWN;
use crate::stores::{Reopen, StoreError};

/// No limit that is worth the name is below this.
const LEAST_PART: u64 = 64 << 10;
/// Why sending stopped.
enum Setback {
    /// For good.
    Final(Box<StoreError>),
    /// It may go better: after this pause, from this session or from a new one.
    Passing(Box<Passing>),
}

struct Passing {
    error: RegistryError,
    pause: Option<Duration>,
    resume: Resume,
}

enum Resume {
    /// Ask the registry how far the session is.
    Ask(Session),
    /// Go on at once: the session is known to be good.
    Go(Session),
    /// The same as `Ask`, at once, with smaller parts.
    Less(Session),
    /// Begin again.
    Anew,
}

impl Setback {
    fn passing(error: RegistryError, pause: Option<Duration>, resume: Resume) -> Self {
        Self::Passing(Box::new(Passing { error, pause, resume }))
    }
}

impl From<RegistryError> for Setback {
    fn from(error: RegistryError) -> Self {
        Self::Final(Box::new(error.into()))
    }
}

impl Repository<'_> {
    /// Sends a blob, resuming and beginning again as often as that brings it further.
    pub(super) fn upload(&self, blob: &Descriptor, open: &Reopen<'_>) -> Result<(), StoreError> {
        let mut session = held(&self.sessions).remove(&blob.digest);
        let mut content = Content::new(open, blob);
        let (mut tries, mut furthest, mut detours, mut denials, mut wary) = (0, 0, 0, 0, false);
        loop {
            let current = match session.take() {
                Some(session) => session,
                None => self.start_upload()?,
            };
            let (error, pause, resume) = match self.send_rest(current, blob, &mut content, wary || tries > 0) {
                Ok(()) => return Ok(()),
                Err(Setback::Final(error)) => return Err(*error),
                Err(Setback::Passing(passing)) => (passing.error, passing.pause, passing.resume),
            };
            let resume = match resume {
                Resume::Go(next) => {
                    detours += 1;
                    if detours > REDIRECTS {
                        return Err(error.into());
                    }
                    session = Some(next);
                    continue;
                }
                // Parts become smaller each time, and not for ever.
                Resume::Less(refused) => {
                    session = self.state_of(refused, blob.size);
                    wary = true;
                    continue;
                }
                other => other,
            };
            tries += 1;
            denials += u32::from(matches!(error, RegistryError::Denied { .. }));
            if denials > 2 || !self.client.pause(tries, pause) {
                return Err(error.into());
            }
            if let Resume::Ask(broken) = resume {
                session = self.state_of(broken, blob.size);
            }
            let reached = session.as_ref().map_or(0, |session| session.offset);
            if reached >= furthest + PROGRESS {
                (furthest, tries, denials) = (reached, 0, 0);
            }
        }
    }

    fn start_upload(&self) -> Result<Session, RegistryError> {
        let access = self.access();
        let reply = self.client.send(&Call::new(Method::POST, self.url("blobs/uploads/")?), &access)?;
        if reply.status != 202 {
            return Err(self.client.refused(reply, &access));
        }
        let session = Session::of(self.client, &reply);
        reply.drain();
        session
    }

    /// How far an upload is; `None` where the registry does not know it any more, or says what cannot be.
    fn state_of(&self, session: Session, size: u64) -> Option<Session> {
        let reply = self.client.send(&Call::new(Method::GET, session.url.clone()), &self.access()).ok()?;
        if reply.status != 204 && reply.status != 202 {
            return None;
        }
        let offset = received(&reply)?;
        let url = match reply.header("Location") {
            Some(location) => self.client.admit(&reply.url, &location).ok()?,
            None => session.url,
        };
        (offset <= size).then_some(Session { url, offset, ..session })
    }

    /// Sends what the session lacks. `wary` of a limit: see the top of this file.
    fn send_rest(&self, session: Session, blob: &Descriptor, content: &mut Content<'_, '_>, wary: bool) -> Result<(), Setback> {
        let mut session = session;
        let limit = self.part_limit.load(Ordering::Relaxed);
        let whole = session.takes_whole(blob.size, limit);
        while !whole && session.offset < blob.size {
            let length = session.part(blob.size - session.offset, limit);
            let last = session.offset + length - 1;
            let mut call =
                Call::new(Method::PATCH, session.url.clone()).header("Content-Range", format!("{}-{last}", session.offset));
            if wary {
                call = call.header("Expect", "100-continue");
            }
            let reply = self.send_part(call, &session, length, content)?;
            let url = match reply.header("Location") {
                Some(location) => self.client.admit(&reply.url, &location)?,
                None => session.url.clone(),
            };
            // Of the blob's first byte alone the answer says `0-0`, which docker's registry also says of no byte.
            let offset = received(&reply).filter(|_| last > 0).unwrap_or(last + 1);
            if offset > last + 1 || offset < session.offset {
                return Err(
                    RegistryError::protocol(&reply.url, "it claims to have another part of an upload than was sent").into()
                );
            }
            let stuck = offset == session.offset;
            reply.drain();
            session = Session { url, offset, ..session };
            if stuck {
                let error = RegistryError::protocol(&session.url, "it takes no bytes of an upload");
                return Err(Setback::passing(error, None, Resume::Ask(session)));
            }
        }
        let mut call = Call::new(Method::PUT, session.url.clone().with_digest(&blob.digest));
        if whole && wary {
            call = call.header("Expect", "100-continue");
        }
        let length = if whole { blob.size } else { 0 };
        let reply = self.send_part(call, &session, length, content)?;
        check_digest(&reply.url, &blob.digest, stated_digest(&reply)?.as_ref())?;
        reply.drain();
        Ok(())
    }

    /// One `PATCH` or `PUT`, and what its answer means.
    fn send_part(&self, call: Call<'_>, session: &Session, length: u64, content: &mut Content<'_, '_>) -> Result<Reply, Setback> {
        let is_patch = call.method == Method::PATCH;
        if length > 0 {
            content.seek(session.offset).map_err(|error| Setback::Final(Box::new(error)))?;
        }
        let mut part = content.take(length);
        let Call { method, url, headers, .. } = call.header("Content-Type", "application/octet-stream");
        let payload = if length > 0 { Payload::Stream(&mut part, length) } else { Payload::Empty };
        let call = Call { method, url, headers, payload };
        let access = self.access();
        let outcome = self.client.send_stream(call, &access);
        if let Some(failure) = content.failure.take() {
            return Err(Setback::Final(Box::new(failure)));
        }
        let ask = || Resume::Ask(session.clone());
        let (reply, renewed) = match outcome {
            Ok(answer) => answer,
            Err(error) if error.is_passing() => return Err(Setback::passing(error, None, ask())),
            Err(error) => return Err(error.into()),
        };
        let pause = reply.retry_after();
        match reply.status {
            202 if is_patch => Ok(reply),
            200 | 201 | 204 if !is_patch => Ok(reply),
            307 | 308 if reply.header("Location").is_some() => {
                let url = self.client.admit(&reply.url, &reply.header("Location").unwrap_or_default())?;
                let error = RegistryError::RedirectLoop { url: session.url.to_string() };
                Err(Setback::passing(error, None, Resume::Go(Session { url, ..session.clone() })))
            }
            413 if self.lower_limit(session, length) => {
                Err(Setback::passing(self.client.refused(reply, &access), None, Resume::Less(session.clone())))
            }
            401 if renewed => Err(Setback::passing(self.client.refused(reply, &access), None, ask())),
            416 => Err(Setback::passing(self.client.refused(reply, &access), pause, ask())),
            404 => Err(Setback::passing(self.client.refused(reply, &access), pause, Resume::Anew)),
            status if is_passing_status(status) => Err(Setback::passing(self.client.refused(reply, &access), pause, ask())),
            _ => Err(self.client.refused(reply, &access).into()),
        }
    }

    /// After a refusal of a part of this length: whether smaller ones may be tried.
    fn lower_limit(&self, session: &Session, length: u64) -> bool {
        let least = session.chunk.unwrap_or(0).max(LEAST_PART);
        let next = (length / 2).min(CHUNK).max(least);
        if next < length {
            self.part_limit.fetch_min(next, Ordering::Relaxed);
        }
        next < length
    }
}

/// Bytes that an upload has, from `Range: 0-<last>`. Docker's registry says `0-0` for none.
fn received(reply: &Reply) -> Option<u64> {
    let range = reply.header("Range")?;
    let (first, last) = range.trim().trim_start_matches("bytes=").split_once('-')?;
    let last: u64 = last.parse().ok()?;
    match (first, last) {
        ("0", 0) => Some(0),
        ("0", last) => last.checked_add(1),
        _ => None,
    }
}

/// Content that can be taken from any offset on, any number of times.
pub(in crate::stores) struct Content<'a, 'r> {
    open: &'a Reopen<'r>,
    blob: &'a Descriptor,
    reader: Option<Box<dyn Read + Send + 'r>>,
    position: u64,
    /// What has gone wrong with reading it.
    pub(in crate::stores) failure: Option<StoreError>,
}

impl<'a, 'r> Content<'a, 'r> {
    pub(in crate::stores) fn new(open: &'a Reopen<'r>, blob: &'a Descriptor) -> Self {
        Self { open, blob, reader: None, position: 0, failure: None }
    }

    pub(in crate::stores) fn seek(&mut self, offset: u64) -> Result<(), StoreError> {
        if self.reader.is_none() || self.position > offset {
            self.reader = Some((self.open)()?);
            self.position = 0;
        }
        let mut buffer = vec![0; 64 << 10];
        while self.position < offset {
            let wanted = usize::try_from(offset - self.position).unwrap_or(buffer.len()).min(buffer.len());
            match self.read(&mut buffer[..wanted]) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Err(self.failure.take().unwrap_or_else(|| StoreError::reading(UNKNOWN, self.blob, error))),
            }
        }
        Ok(())
    }

    fn fail(&mut self, error: io::Error) -> io::Error {
        let shown = io::Error::new(error.kind(), error.to_string());
        self.reader = None;
        self.failure = Some(StoreError::reading(UNKNOWN, self.blob, error));
        shown
    }
}

impl Read for Content<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(reader) = &mut self.reader else { return Ok(0) };
        let count = match reader.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => return Err(self.fail(error)),
        };
        self.position += count as u64;
        if count > 0 && self.position == self.blob.size {
            // The check of the whole happens at the end of the stream: reach it before the last bytes leave.
            match reader.read(&mut [0]) {
                Ok(0) => {}
                Ok(_) => {
                    return Err(self.fail(io::Error::new(io::ErrorKind::InvalidData, "it is longer than its descriptor says")));
                }
                Err(error) => return Err(self.fail(error)),
            }
        }
        Ok(count)
    }
}
