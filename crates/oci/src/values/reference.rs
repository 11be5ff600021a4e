//! How users name images: containers-transports(5), as skopeo and podman spell them.
//!
//! `oci:DIR[:NAME][@DIGEST]`, `oci-archive:FILE[:NAME][@DIGEST]`, `[docker://]HOST/REPO[:TAG][@DIGEST]`. For the local
//! transports the first `:` after the prefix ends the path. Grammar of repositories: distribution-spec,
//! "Pulling manifests"; of tags and names: [`tag`](super::tag). What people may write beside that, because of what lies on
//! their disk: [`crate::stores::named`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::failure::{Class, Failure};
use crate::values::digest::{Digest, DigestError};
use crate::values::tag::{LocalName, Tag, TagError};

/// An image in some store, or the store itself where no tag and no digest is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// `oci:`: an OCI image layout directory.
    Layout(LocalReference),
    /// `oci-archive:`: the same as one tar file.
    Archive(LocalReference),
    /// `docker://`: a repository of a registry.
    Registry(RegistryReference),
}

/// An image in a layout directory or archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReference {
    /// The directory or file.
    pub path: PathBuf,
    /// The `org.opencontainers.image.ref.name` wanted.
    pub name: Option<LocalName>,
    /// The digest wanted.
    pub digest: Option<Digest>,
}

/// A repository of a registry, and what of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryReference {
    /// `host[:port]` as the user wrote it, `docker.io` where nothing was.
    pub host: String,
    /// The repository's name, without host.
    pub repository: String,
    /// The tag wanted.
    pub tag: Option<Tag>,
    /// The digest wanted.
    pub digest: Option<Digest>,
}

impl Reference {
    /// A reference to a tag of a layout directory.
    pub fn layout(path: impl Into<PathBuf>, tag: Option<Tag>) -> Self {
        Self::Layout(LocalReference { path: path.into(), name: tag.map(LocalName::from), digest: None })
    }

    /// The tag or local name wanted.
    pub fn tag(&self) -> Option<&str> {
        match self {
            Self::Layout(local) | Self::Archive(local) => local.name.as_deref(),
            Self::Registry(registry) => registry.tag.as_deref(),
        }
    }

    /// The same with this tag or local name; `None` for what can be none there.
    pub fn with_tag(&self, tag: &str) -> Option<Self> {
        let mut named = self.clone();
        match &mut named {
            Self::Layout(local) | Self::Archive(local) => local.name = Some(tag.parse().ok()?),
            Self::Registry(registry) => registry.tag = Some(tag.parse().ok()?),
        }
        Some(named)
    }

    /// The digest wanted.
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Layout(local) | Self::Archive(local) => local.digest.as_ref(),
            Self::Registry(registry) => registry.digest.as_ref(),
        }
    }
}

/// The host that is meant where none is written.
pub const DOCKER_HUB: &str = "docker.io";

/// Whether what stands before the first slash is a host, and not the first part of a name: as docker and skopeo tell them apart.
fn is_host(head: &str) -> bool {
    head.contains('.') || head.contains(':') || head == "localhost"
}

/// Whether a text starts with one of the three transports.
pub fn has_transport(text: &str) -> bool {
    ["oci:", "oci-archive:", "docker://"].iter().any(|prefix| text.starts_with(prefix))
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if let Some(rest) = text.strip_prefix("oci-archive:") {
            return Ok(Self::Archive(LocalReference::parse(rest)?));
        }
        if let Some(rest) = text.strip_prefix("oci:") {
            return Ok(Self::Layout(LocalReference::parse(rest)?));
        }
        if let Some(rest) = text.strip_prefix("docker://") {
            return Ok(Self::Registry(RegistryReference::parse(rest)?));
        }
        // Without the prefix a host has to be there: a word alone could be anything.
        match text.split_once('/') {
            Some((head, _)) if is_host(head) => Ok(Self::Registry(RegistryReference::parse(text)?)),
            _ => Err(ReferenceError::NoTransport(text.to_owned())),
        }
    }
}

impl LocalReference {
    /// Parses what stands after `oci:` or `oci-archive:`.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let (text, digest) = split_digest(text)?;
        let (path, name) = match text.split_once(':') {
            Some((path, name)) => (path, Some(name)),
            None => (text, None),
        };
        if path.is_empty() {
            return Err(ReferenceError::EmptyPath);
        }
        Ok(Self { path: PathBuf::from(path), name: name.map(str::parse).transpose()?, digest })
    }
}

impl RegistryReference {
    /// Parses `[HOST/]REPO[:TAG][@DIGEST]`, with or without `docker://`. Without a host it is Docker Hub, as for skopeo.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let text = text.strip_prefix("docker://").unwrap_or(text);
        if let Some((_, host)) =
            text.split('/').next().and_then(|head| head.rsplit_once('@')).filter(|(_, host)| is_host_text(host))
        {
            return Err(ReferenceError::Credentials { host: host.to_owned() });
        }
        let (named, digest) = split_digest(text)?;
        let (head, rest) = named.split_once('/').unwrap_or(("", named));
        if head.is_empty() && is_host(named.rsplit_once(':').map_or(named, |(head, _)| head)) && is_host_text(named) {
            return Err(ReferenceError::NoRepository { host: named.to_owned() });
        }
        let (host, remainder) = if is_host(head) { (head, rest) } else { (DOCKER_HUB, named) };
        let (repository, tag) = match remainder.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (remainder, None),
        };
        let mut repository = repository.to_owned();
        if host == DOCKER_HUB && !repository.contains('/') && !repository.is_empty() {
            repository.insert_str(0, "library/");
        }
        if !is_repository(&repository) || !is_host_text(host) {
            return Err(ReferenceError::BadRepository(text.to_owned()));
        }
        Ok(Self { host: host.to_owned(), repository, tag: tag.map(str::parse).transpose()?, digest })
    }

    /// `host/repository`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }
}

fn split_digest(text: &str) -> Result<(&str, Option<Digest>), ReferenceError> {
    match text.rsplit_once('@') {
        Some((rest, digest)) if digest.contains(':') && !digest.contains('/') => Ok((rest, Some(digest.parse()?))),
        _ => Ok((text, None)),
    }
}

/// Whether a text is the name of a repository (distribution-spec, "Pulling manifests").
pub fn is_repository(name: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let component = |part: &str| {
        let runs: Vec<&str> = part.split(|c: char| c.is_ascii() && alphanumeric(c as u8)).filter(|run| !run.is_empty()).collect();
        part.bytes().next().is_some_and(alphanumeric)
            && part.bytes().last().is_some_and(alphanumeric)
            && runs.iter().all(|run| matches!(*run, "." | "_" | "__") || run.bytes().all(|b| b == b'-'))
    };
    name.len() <= 255 && name.split('/').all(component)
}

fn is_host_text(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    };
    let port_ok = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|_| !port.starts_with('+')));
    let v6 = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let name_ok = match v6 {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-'),
    };
    port_ok && name_ok
}

/// Whether a path can stand in a local reference: a `:` would end it.
pub fn check_output_path(path: &Path) -> Result<(), ReferenceError> {
    if path.to_string_lossy().contains(':') { Err(ReferenceError::ColonInPath(path.to_owned())) } else { Ok(()) }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout(local) => write!(f, "oci:{local}"),
            Self::Archive(local) => write!(f, "oci-archive:{local}"),
            Self::Registry(registry) => write!(f, "docker://{registry}"),
        }
    }
}

impl fmt::Display for LocalReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(name) = &self.name {
            write!(f, ":{name}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl fmt::Display for RegistryReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

/// Why a text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// No known transport prefix.
    #[error("`{0}` is not an image reference")]
    NoTransport(String),
    /// Neither a store that exists nor an image in a registry.
    #[error("`{0}` names no image: nothing of that name lies here, and it names no registry")]
    NotThere(String),
    /// A store that exists is called like an image in a registry.
    #[error("`{0}` names two things: what lies here under that name, and an image in a registry")]
    TwoReadings(String),
    /// An image where a directory is wanted.
    #[error("`{0}` is an image, and a directory is wanted there")]
    NotADirectory(String),
    /// A host alone.
    #[error("`{host}` is a registry without a repository")]
    NoRepository {
        /// The host.
        host: String,
    },
    /// Nothing between the prefix and the first colon.
    #[error("the reference has an empty path")]
    EmptyPath,
    /// Not a repository name.
    #[error("`{0}` is not a repository reference (want `HOST/REPO[:TAG][@DIGEST]` in lower case)")]
    BadRepository(String),
    /// A user, and maybe a password, in front of the host; nobody is to read them in an error.
    #[error("a reference to `{host}` has no place for a user")]
    Credentials {
        /// The host.
        host: String,
    },
    /// Not a tag.
    #[error(transparent)]
    BadTag(#[from] TagError),
    /// A path that no reference can spell.
    #[error("the path `{}` has a `:`, which ends a path in `oci:` references", .0.display())]
    ColonInPath(PathBuf),
    /// What stands after `@` is no digest.
    #[error("{0}")]
    Digest(#[from] DigestError),
}

impl Failure for ReferenceError {
    fn class(&self) -> Class {
        Class::Usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_print_as_they_were_written() {
        let digest = Digest::of(b"x");
        for text in [
            "oci:target/x:1.0".to_owned(),
            "oci:dir".to_owned(),
            "oci-archive:/a/b.tar:greeter:1.0".to_owned(),
            format!("oci:dir@{digest}"),
            format!("docker://localhost:5000/a/b__c:tag@{digest}"),
            "docker://example.com/plugins/x-y.z:1_0".to_owned(),
            "docker://[::1]:5000/x".to_owned(),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_missing_host_is_docker_hub() {
        let hub = RegistryReference::parse("alpine:3").unwrap();
        assert_eq!((hub.host.as_str(), hub.repository.as_str()), ("docker.io", "library/alpine"));
    }

    #[test]
    fn a_host_needs_no_prefix_and_a_repository() {
        let parsed: Reference = "localhost:5000/a/b:1".parse().unwrap();
        assert_eq!(parsed.to_string(), "docker://localhost:5000/a/b:1");
        for host in ["localhost", "localhost:5710", "registry.example", "10.0.0.1:5000", "[::1]:5000"] {
            let refused = RegistryReference::parse(host);
            assert_eq!(refused, Err(ReferenceError::NoRepository { host: host.to_owned() }));
        }
    }

    #[test]
    fn malformed_references_are_refused() {
        for bad in [
            "oci:",
            "oci::x",
            "oci:d:",
            "oci:d:a b",
            "docker://",
            "docker://host.x/UPPER",
            "docker://h.x/a//b",
            "docker://h.x/a:",
            "docker://h.x:99999/a",
            "docker://h.x/a@sha256:00",
            "greeter",
            "docker://h.x/-a",
            "docker://h.x/a..b",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }
}
