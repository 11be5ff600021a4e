//! Under which name an image must be signed: `signedIdentity` of containers-policy.json(5).

use serde_json::Value;

use super::error::PolicyError;
use crate::values::reference::{Reference, RegistryReference};

/// What a signature must call the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Whatever it likes, or nothing.
    Any,
    /// This name: with this version, where it has one.
    Name {
        /// Host and repository.
        name: String,
        /// `:TAG` or `@DIGEST`; `None` for any.
        version: Option<String>,
    },
    /// The image has no name that could be demanded.
    Nameless,
}

impl Identity {
    /// What an entry demands of the image of a reference. Without a word it is the name at the registry; what lies on a disk has none,
    /// and its digest is what is signed.
    pub fn of(stated: Option<&Value>, reference: &Reference) -> Result<Self, PolicyError> {
        let own = match reference {
            Reference::Registry(registry) => Some(registry),
            Reference::Layout(_) | Reference::Archive(_) => None,
        };
        let Some(stated) = stated else {
            return Ok(own.map_or(Self::Any, Self::exact_or_by_digest));
        };
        let word =
            |key: &str| stated[key].as_str().ok_or_else(|| PolicyError::Shape(format!("a `signedIdentity` has no `{key}`")));
        let parsed = |key: &str| {
            RegistryReference::parse(word(key)?)
                .map_err(|error| PolicyError::Shape(format!("`{key}` of a `signedIdentity`: {error}")))
        };
        let kind = word("type")?;
        let own_keys: &[&str] = match kind {
            "exactReference" => &["dockerReference"],
            "exactRepository" => &["dockerRepository"],
            "remapIdentity" => &["prefix", "signedPrefix"],
            _ => &[],
        };
        if let Some(key) = stated.as_object().into_iter().flat_map(|all| all.keys()).find(|key| !is_read(key, own_keys)) {
            return Err(PolicyError::Shape(format!("a `signedIdentity` {kind} has a key `{key}`, which nothing reads")));
        }
        let named = |of: &dyn Fn(&RegistryReference) -> Self| own.map_or(Self::Nameless, of);
        Ok(match kind {
            "matchExact" => named(&|own| Self::exact(own)),
            "matchRepoDigestOrExact" => named(&Self::exact_or_by_digest),
            "matchRepository" => named(&|own| Self::Name { name: own.name(), version: None }),
            "exactReference" => match parsed("dockerReference")? {
                open if open.tag.is_none() && open.digest.is_none() => {
                    return Err(PolicyError::Shape("`dockerReference` of a `signedIdentity` has no tag".to_owned()));
                }
                exact => Self::exact(&exact),
            },
            "exactRepository" => Self::Name { name: parsed("dockerRepository")?.name(), version: None },
            "remapIdentity" => {
                let (prefix, signed) = (word("prefix")?, word("signedPrefix")?);
                named(&|own| match (Self::exact_or_by_digest(own), own.name().strip_prefix(prefix)) {
                    (Self::Name { version, .. }, Some(rest)) if rest.is_empty() || rest.starts_with('/') => {
                        Self::Name { name: format!("{signed}{rest}"), version }
                    }
                    (own, _) => own,
                })
            }
            other => return Err(PolicyError::NotJudged(format!("signedIdentity {other}"))),
        })
    }

    fn exact(reference: &RegistryReference) -> Self {
        Self::Name { name: reference.name(), version: Some(version(reference).unwrap_or_else(|| ":latest".to_owned())) }
    }

    fn exact_or_by_digest(reference: &RegistryReference) -> Self {
        if reference.digest.is_some() { Self::Name { name: reference.name(), version: None } } else { Self::exact(reference) }
    }

    /// Whether a signature that calls the image `signed` will do.
    pub fn accepts(&self, signed: Option<&str>) -> bool {
        match (self, signed.map(RegistryReference::parse)) {
            (Self::Any, _) => true,
            (Self::Name { name, version: wanted }, Some(Ok(signed))) => {
                signed.name() == *name && (wanted.is_none() || version(&signed) == *wanted)
            }
            _ => false,
        }
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("any name"),
            Self::Name { name, version } => write!(f, "`{name}{}`", version.as_deref().unwrap_or_default()),
            Self::Nameless => f.write_str("a name, which what lies on a disk has not"),
        }
    }
}

/// What a reference names beside the repository: its digest, or else its tag.
fn version(reference: &RegistryReference) -> Option<String> {
    let digest = reference.digest.as_ref().map(|digest| format!("@{digest}"));
    digest.or_else(|| reference.tag.as_ref().map(|tag| format!(":{tag}")))
}

fn is_read(key: &str, own: &[&str]) -> bool {
    key == "type" || own.contains(&key)
}
