//! Other registries, whose images are served here as well: which repositories those are, and how they are asked.

mod flights;

use std::sync::Arc;
use std::time::Duration;

use plugin_oci::environment::Environment;
use plugin_oci::progress::Silent;
use plugin_oci::stores::registry::{Client, Repository, Settings, Timeouts};
use plugin_oci::values::reference::RegistryReference;

use self::flights::Flights;
pub(crate) use self::flights::{Flight, Fresh, Outcome};
use crate::keys::unguessable;
use crate::names::Name;

static SILENT: Silent = Silent;
/// How many requests wait for other registries at once, each in a thread.
const ASKING: usize = 16;
/// How many blobs come at once. For a bucket, each takes 8 MiB of memory.
const BLOBS: usize = 4;
/// How many registries a request may have come through.
const HOPS: usize = 8;

/// The registries that are mirrored.
pub struct Mirrors {
    rules: Vec<Rule>,
    client: Arc<Client<'static>>,
    /// How long a tag is believed.
    fresh: Duration,
    /// How others, and this registry itself, know that a request came through here.
    id: String,
    pub(crate) flights: Flights,
    pub(crate) asking: tokio::sync::Semaphore,
    pub(crate) blobs: tokio::sync::Semaphore,
}

/// Which repositories are whose.
struct Rule {
    local: Local,
    /// `HOST`, or `HOST/PREFIX`.
    upstream: String,
}

enum Local {
    /// Those whose names begin so; the rest of the name goes on there.
    Below(String),
    /// This one alone.
    Is(String),
}

/// A repository at another registry.
#[derive(Clone)]
pub(crate) struct Remote {
    client: Arc<Client<'static>>,
    reference: RegistryReference,
}

impl Rule {
    fn parse(word: &str, plain: &mut Vec<String>) -> Result<Self, String> {
        let (pattern, upstream) = word.split_once('=').unwrap_or(("*", word));
        let bare = upstream.strip_prefix("https://").or_else(|| upstream.strip_prefix("http://")).unwrap_or(upstream);
        let bare = bare.trim_end_matches('/').to_owned();
        let host = bare.split('/').next().unwrap_or_default();
        let below = RegistryReference::parse(&format!("{bare}/x")).map_err(|error| format!("{word}: {error}"))?;
        if below.host != host || below.tag.is_some() || below.digest.is_some() {
            return Err(format!("{word}: name a registry, as `HOST` or `HOST/PREFIX`"));
        }
        if upstream.starts_with("http://") {
            plain.push(host.to_owned());
        }
        let local = match pattern.strip_suffix('*') {
            Some(head) if !head.contains('*') && (head.is_empty() || head.ends_with('/')) => Local::Below(head.to_owned()),
            None if bare.contains('/') => Local::Is(pattern.to_owned()),
            _ => return Err(format!("{word}: the pattern is `PREFIX/*`, or a repository of which the registry's is named")),
        };
        Ok(Self { local, upstream: bare })
    }

    fn of(&self, name: &str) -> Option<String> {
        match &self.local {
            Local::Below(head) => Some(format!("{}/{}", self.upstream, name.strip_prefix(head)?)),
            Local::Is(own) => (own == name).then(|| self.upstream.clone()),
        }
    }
}

impl Mirrors {
    /// Mirrors of `[PATTERN=]UPSTREAM` each; of two that have a name, the first.
    pub fn new(words: &[String], fresh: Duration, environment: &Environment) -> Result<Self, String> {
        let mut plain_http = Vec::new();
        let rules = words.iter().map(|word| Rule::parse(word, &mut plain_http)).collect::<Result<_, _>>()?;
        let timeouts = Timeouts {
            connect: Duration::from_secs(5),
            stall: Duration::from_secs(30),
            answer: Duration::from_secs(20),
            pause: Duration::from_millis(200),
            ..Timeouts::default()
        };
        let settings = Settings { plain_http, timeouts, ..Settings::default() };
        Ok(Self {
            rules,
            client: Arc::new(Client::new(settings, environment, &SILENT)),
            fresh,
            id: format!("plugin-registry-{}", unguessable()),
            flights: Flights::default(),
            asking: tokio::sync::Semaphore::new(ASKING),
            blobs: tokio::sync::Semaphore::new(BLOBS),
        })
    }

    /// Where a repository comes from, where that is elsewhere.
    pub(crate) fn remote(&self, name: &Name) -> Option<Remote> {
        let text = self.rules.iter().find_map(|rule| rule.of(name.as_str()))?;
        let reference = RegistryReference::parse(&text).ok()?;
        Some(Remote { client: self.client.clone(), reference })
    }

    /// Whether a repository is another registry's.
    pub(crate) fn has(&self, name: &Name) -> bool {
        self.rules.iter().any(|rule| rule.of(name.as_str()).is_some())
    }

    /// How long is believed what may change there.
    pub(crate) const fn changing(&self) -> Fresh {
        Fresh { here: self.fresh, other: self.fresh }
    }

    /// The `Via` of what is asked for a request that came with this one (RFC 9110, section 7.6.3); nothing where that goes in a circle.
    pub(crate) fn hops(&self, before: &str) -> Option<String> {
        let through: Vec<&str> = before.split(',').map(str::trim).filter(|hop| !hop.is_empty()).collect();
        let is_known = through.iter().any(|hop| hop.rsplit(' ').next() == Some(self.id.as_str()));
        let own = format!("1.1 {}", self.id);
        (!is_known && through.len() < HOPS).then(|| through.into_iter().chain([own.as_str()]).collect::<Vec<_>>().join(", "))
    }
}

impl Remote {
    /// The repository, for requests that came this way.
    pub(crate) fn repository(&self, via: String) -> Repository<'_> {
        Repository::new(&self.client, &self.reference).via(via)
    }

    /// `HOST/NAME`.
    pub(crate) fn name(&self) -> String {
        self.reference.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors(words: &[&str]) -> Result<Mirrors, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Mirrors::new(&words, Duration::ZERO, &Environment::new([], "/"))
    }

    #[test]
    fn a_pattern_says_which_repository_is_whose() {
        let mirrors = mirrors(&["tool=ghcr.io/org/tool", "hub/*=docker.io", "quay.io/mirrors/"]).unwrap();
        let of = |name: &str| mirrors.remote(&Name::parse(name).unwrap()).map(|remote| remote.name());
        assert_eq!(of("tool").as_deref(), Some("ghcr.io/org/tool"));
        assert_eq!(of("hub/alpine").as_deref(), Some("docker.io/library/alpine"));
        assert_eq!(of("hub/a/b").as_deref(), Some("docker.io/a/b"));
        assert_eq!(of("tool/x").as_deref(), Some("quay.io/mirrors/tool/x"));
        for wrong in ["", "name", "a*=docker.io", "a/*/b/*=docker.io", "tool=docker.io", "x=", "docker.io/a:b", "user@docker.io"]
        {
            assert!(self::mirrors(&[wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_came_through_here_is_known() {
        let mirrors = mirrors(&["docker.io"]).unwrap();
        let once = mirrors.hops("").unwrap();
        assert_eq!(mirrors.hops(&once), None);
        assert_eq!(mirrors.hops("1.1 proxy").unwrap(), format!("1.1 proxy, {once}"));
        assert_eq!(mirrors.hops(&["1.1 x"; 8].join(",")), None);
    }
}
