//! A registry in memory that follows distribution-spec 1.1, referrers API included, and may be scripted to misbehave.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use plugin_oci::documents::media_type;
use plugin_oci::values::digest::{Digest, Hasher};
use plugin_oci::values::reference::RegistryReference;
use serde_json::{Value, json};

use super::http_server::{Answer, Handler, Reply, Request, Server};

/// Answers instead of the registry, where it returns something.
type Script = dyn Fn(&Request, &Memory) -> Option<Answer> + Send + Sync;
/// Says how much of a request's body is read before the connection breaks.
type Cut = dyn Fn(&Request) -> Option<usize> + Send + Sync;

/// The content and the log of a registry.
#[derive(Default)]
pub struct Memory {
    state: Mutex<State>,
    /// What the registry does not do.
    pub quirks: Quirks,
}

/// How a registry differs from a perfect one.
#[derive(Clone, Debug, Default)]
pub struct Quirks {
    /// No referrers API.
    pub no_referrers: bool,
    /// Asks for chunks of at least this size.
    pub chunk: Option<usize>,
    /// Asks for chunks of at most this size.
    pub most: Option<usize>,
    /// `mount` opens an upload instead.
    pub no_mount: bool,
    /// An interrupted upload is forgotten.
    pub forgetful: bool,
    /// Removes by digest only.
    pub no_tag_removal: bool,
    /// Removes nothing.
    pub no_removal: bool,
    /// Honours `If-None-Match` and `If-Match` when a manifest is written, and says `ETag` of each.
    pub conditions: bool,
    /// No request may carry more bytes than this: 413.
    pub largest: Option<usize>,
}

#[derive(Default)]
struct State {
    blobs: BTreeMap<Digest, Vec<u8>>,
    manifests: BTreeMap<(String, Digest), (String, Vec<u8>)>,
    tags: BTreeMap<(String, String), Digest>,
    uploads: BTreeMap<usize, Vec<u8>>,
    opened: usize,
    log: Vec<Request>,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Every request so far; bodies are emptied of their bytes.
    pub fn log(&self) -> Vec<Request> {
        self.state().log.clone()
    }

    /// How many requests there were with one of these methods and this in their path.
    pub fn count(&self, methods: &str, part: &str) -> usize {
        self.state().log.iter().filter(|request| request.is(methods, part)).count()
    }

    pub fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.state().blobs.get(digest).cloned()
    }

    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.state().blobs.contains_key(digest)
    }

    pub fn put_blob(&self, bytes: &[u8]) {
        self.state().blobs.insert(Digest::of(bytes), bytes.to_vec());
    }

    pub fn tag(&self, repository: &str, tag: &str) -> Option<Digest> {
        self.state().tags.get(&(repository.to_owned(), tag.to_owned())).cloned()
    }

    /// What an honest registry answers.
    pub fn honest(&self, request: &Request) -> Answer {
        let Some(rest) = request.path.strip_prefix("/v2/") else { return Reply::new(404).into() };
        if rest.is_empty() {
            return Reply::new(200).into();
        }
        if rest == "_catalog" {
            return self.catalogue(request).into();
        }
        for (kind, answer) in [
            ("/blobs/uploads/", Self::upload as fn(&Self, &Request, &str, &str) -> Reply),
            ("/blobs/", Self::blobs),
            ("/manifests/", Self::manifests),
            ("/referrers/", Self::referrers),
            ("/tags/list", Self::tags),
        ] {
            if let Some((repository, tail)) = rest.split_once(kind) {
                return answer(self, request, repository, tail).into();
            }
        }
        Reply::new(404).into()
    }

    fn upload(&self, request: &Request, repository: &str, tail: &str) -> Reply {
        let mut state = self.state();
        if request.method == "POST" {
            let mounted = request.query.get("mount").and_then(|text| text.parse::<Digest>().ok());
            if let Some(digest) = mounted.filter(|digest| !self.quirks.no_mount && state.blobs.contains_key(digest)) {
                return Reply::new(201).header("Location", format!("/v2/{repository}/blobs/{digest}"));
            }
            state.opened += 1;
            let id = state.opened;
            state.uploads.insert(id, Vec::new());
            let reply = Reply::new(202).header("Location", format!("/v2/{repository}/blobs/uploads/{id}?step=0"));
            let stated = [("OCI-Chunk-Min-Length", self.quirks.chunk), ("OCI-Chunk-Max-Length", self.quirks.most)];
            let stated = stated.into_iter().filter_map(|(name, size)| Some((name, size?.to_string())));
            return stated.fold(reply, |reply, (name, size)| reply.header(name, size));
        }
        let Some(id) = tail.parse::<usize>().ok().filter(|id| state.uploads.contains_key(id)) else {
            return error(404, "BLOB_UPLOAD_UNKNOWN");
        };
        let received = state.uploads[&id].len();
        let first = request.header("content-range").and_then(|range| range.split('-').next()?.parse::<usize>().ok());
        // Relative, and another one at every step.
        let next = |length: usize| {
            let range = if length == 0 { "0-0".to_owned() } else { format!("0-{}", length - 1) };
            Reply::new(202).header("Location", format!("{id}?step={length}")).header("Range", range)
        };
        match request.method.as_str() {
            "GET" => Reply { status: 204, ..next(received) },
            "PATCH" if first.is_some_and(|first| first != received) => Reply { status: 416, ..next(received) },
            "PATCH" => {
                let upload = state.uploads.get_mut(&id).unwrap();
                upload.extend_from_slice(&request.body);
                next(upload.len())
            }
            "PUT" => {
                let mut content = state.uploads.remove(&id).unwrap();
                content.extend_from_slice(&request.body);
                let wanted: Digest = request.query["digest"].replace("%3A", ":").parse().unwrap();
                if hash(&wanted, &content) != wanted {
                    return error(400, "DIGEST_INVALID");
                }
                state.blobs.insert(wanted.clone(), content);
                Reply::new(201)
                    .header("Location", format!("/v2/{repository}/blobs/{wanted}"))
                    .header("Docker-Content-Digest", wanted.to_string())
            }
            _ => Reply::new(405),
        }
    }

    /// What is left of an upload whose connection broke.
    fn interrupted(&self, request: &Request) {
        let mut state = self.state();
        let Some(id) = request.path.rsplit('/').next().and_then(|id| id.parse::<usize>().ok()) else { return };
        if self.quirks.forgetful {
            state.uploads.remove(&id);
        } else if let Some(upload) = state.uploads.get_mut(&id) {
            upload.extend_from_slice(&request.body);
        }
    }

    fn blobs(&self, request: &Request, _repository: &str, tail: &str) -> Reply {
        let state = self.state();
        let Some(content) = tail.parse().ok().and_then(|digest: Digest| state.blobs.get(&digest)) else {
            return error(404, "BLOB_UNKNOWN");
        };
        let from =
            request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        let reply = Reply::new(200).header("Docker-Content-Digest", tail);
        match (request.method.as_str(), from) {
            ("HEAD", _) => reply.header("Content-Length", content.len().to_string()),
            (_, Some(from)) if from < content.len() => Reply::new(206)
                .header("Content-Range", format!("bytes {from}-{}/{}", content.len() - 1, content.len()))
                .body(&content[from..]),
            _ => reply.body(content.clone()),
        }
    }

    fn manifests(&self, request: &Request, repository: &str, tail: &str) -> Reply {
        let mut state = self.state();
        let repository = repository.to_owned();
        if request.method == "PUT" {
            let now = state.tags.get(&(repository.clone(), tail.to_owned())).map(|digest| format!("\"{digest}\""));
            let unmet = request.header("if-none-match").is_some() && now.is_some()
                || request.header("if-match").is_some_and(|wanted| now.as_deref() != Some(wanted));
            if self.quirks.conditions && unmet {
                return error(412, "PRECONDITION_FAILED");
            }
            let digest = tail.parse::<Digest>().map_or_else(|_| Digest::of(&request.body), |wanted| hash(&wanted, &request.body));
            let media_type = request.header("content-type").unwrap_or_default().to_owned();
            state.manifests.insert((repository.clone(), digest.clone()), (media_type, request.body.clone()));
            if tail.parse::<Digest>().is_err() {
                state.tags.insert((repository, tail.to_owned()), digest.clone());
            }
            let reply = Reply::new(201).header("Docker-Content-Digest", digest.to_string());
            let subject = serde_json::from_slice::<Value>(&request.body).unwrap_or_default()["subject"]["digest"].clone();
            return match subject.as_str().filter(|_| !self.quirks.no_referrers) {
                Some(subject) => reply.header("OCI-Subject", subject),
                None => reply,
            };
        }
        let digest = tail.parse().ok().or_else(|| state.tags.get(&(repository.clone(), tail.to_owned())).cloned());
        if request.method == "DELETE" {
            let by_tag = tail.parse::<Digest>().is_err();
            if self.quirks.no_removal || by_tag && self.quirks.no_tag_removal {
                return error(405, "UNSUPPORTED");
            }
            if by_tag {
                state.tags.remove(&(repository, tail.to_owned()));
            } else {
                let digest = digest.unwrap();
                state.tags.retain(|(of, _), named| *of != repository || *named != digest);
                state.manifests.remove(&(repository, digest));
            }
            return Reply::new(202);
        }
        let Some((media_type, bytes)) = digest.clone().and_then(|digest| state.manifests.get(&(repository, digest))) else {
            return error(404, "MANIFEST_UNKNOWN");
        };
        let digest = digest.unwrap().to_string();
        let reply =
            if self.quirks.conditions { Reply::new(200).header("ETag", format!("\"{digest}\"")) } else { Reply::new(200) };
        reply
            .header("Content-Type", media_type.clone())
            .header("Content-Length", bytes.len().to_string())
            .header("Docker-Content-Digest", digest)
            .body(bytes.clone())
    }

    fn referrers(&self, _request: &Request, repository: &str, tail: &str) -> Reply {
        if self.quirks.no_referrers {
            return Reply::new(404);
        }
        let state = self.state();
        let mut found = Vec::new();
        for ((of, digest), (media_type, bytes)) in &state.manifests {
            let tree: Value = serde_json::from_slice(bytes).unwrap_or_default();
            if of == repository && tree["subject"]["digest"] == tail {
                let mut descriptor = json!({
                    "mediaType": media_type, "digest": digest, "size": bytes.len(), "artifactType": tree["artifactType"],
                });
                if tree["annotations"].is_object() {
                    descriptor["annotations"] = tree["annotations"].clone();
                }
                found.push(descriptor);
            }
        }
        let index = json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": found});
        Reply::new(200).header("Content-Type", media_type::INDEX).body(index.to_string())
    }

    fn catalogue(&self, request: &Request) -> Reply {
        let state = self.state();
        let names: std::collections::BTreeSet<&String> = state.tags.keys().map(|(of, _)| of).collect();
        let last = request.query.get("last").cloned().unwrap_or_default();
        let mut page = names.into_iter().filter(|name| **name > last);
        let reply = |found: &[&String]| Reply::new(200).body(json!({ "repositories": found }).to_string());
        match (page.next(), page.next()) {
            // One a page, to have pages.
            (Some(name), Some(_)) => reply(&[name]).header("Link", format!("</v2/_catalog?n=1&last={name}>; rel=\"next\"")),
            (Some(name), None) => reply(&[name]),
            (None, _) => reply(&[]),
        }
    }

    fn tags(&self, request: &Request, repository: &str, _tail: &str) -> Reply {
        let state = self.state();
        let names: Vec<&String> = state.tags.keys().filter(|(of, _)| of == repository).map(|(_, tag)| tag).collect();
        // Two a page, to have pages.
        let last = request.query.get("last").cloned().unwrap_or_default();
        let page: Vec<&String> = names.iter().copied().filter(|name| **name > last).take(2).collect();
        let reply = Reply::new(200).body(json!({"name": repository, "tags": page}).to_string());
        match page.last().filter(|tag| names.last() != Some(tag)) {
            Some(tag) => reply.header("Link", format!("</v2/{repository}/tags/list?n=2&last={tag}>; rel=\"next\"")),
            None => reply,
        }
    }
}

/// A running registry.
pub struct MemoryRegistry {
    pub memory: Arc<Memory>,
    pub server: Server,
}

struct Scripted {
    memory: Arc<Memory>,
    script: Box<Script>,
    cut: Box<Cut>,
}

impl Handler for Scripted {
    fn answer(&self, request: &Request) -> Answer {
        let logged = Request { body: Vec::new(), ..request.clone() };
        self.memory.state().log.push(logged);
        if request.body.len() < content_length(request) {
            self.memory.interrupted(request);
            return Reply::new(500).into();
        }
        if self.is_too_large(request) {
            return Reply::new(413).into();
        }
        match (self.script)(request, &self.memory) {
            Some(answer) => answer,
            None => self.memory.honest(request),
        }
    }

    fn cut(&self, request: &Request) -> Option<usize> {
        (self.cut)(request)
    }

    fn early(&self, request: &Request) -> Option<Reply> {
        self.is_too_large(request).then(|| {
            self.memory.state().log.push(request.clone());
            Reply::new(413)
        })
    }
}

impl Scripted {
    fn is_too_large(&self, request: &Request) -> bool {
        self.memory.quirks.largest.is_some_and(|largest| content_length(request) > largest)
    }
}

/// How many bytes a request carries, or says that it will.
pub fn content_length(request: &Request) -> usize {
    request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl MemoryRegistry {
    /// One that does everything right.
    pub fn honest() -> Self {
        Self::scripted(Quirks::default(), |_, _| None)
    }

    /// One whose answers a script may replace.
    pub fn scripted(quirks: Quirks, script: impl Fn(&Request, &Memory) -> Option<Answer> + Send + Sync + 'static) -> Self {
        Self::cutting(quirks, script, |_| None)
    }

    /// One that also breaks connections in the middle of a request's body.
    pub fn cutting(
        quirks: Quirks,
        script: impl Fn(&Request, &Memory) -> Option<Answer> + Send + Sync + 'static,
        cut: impl Fn(&Request) -> Option<usize> + Send + Sync + 'static,
    ) -> Self {
        let memory = Arc::new(Memory { quirks, ..Memory::default() });
        let scripted = Scripted { memory: memory.clone(), script: Box::new(script), cut: Box::new(cut) };
        let server = Server::start(Arc::new(scripted));
        Self { memory, server }
    }

    /// A repository of it.
    pub fn repository(&self, name: &str) -> RegistryReference {
        RegistryReference::parse(&format!("{}/{name}", self.server.host())).unwrap()
    }
}

fn error(status: u16, code: &str) -> Reply {
    Reply::new(status).body(json!({"errors": [{"code": code, "message": "as scripted"}]}).to_string())
}

fn hash(like: &Digest, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::with(like.algorithm());
    hasher.update(bytes);
    hasher.finish()
}
