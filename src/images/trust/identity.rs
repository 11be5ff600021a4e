//! Under which name an image must be signed: `signedIdentity` of containers-policy.json(5).

use serde_json::Value;

use super::error::PolicyError;
use plugin_oci::values::reference::{Reference, RegistryReference};

/// What a signature must call the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Whatever it likes, or nothing.
    Any,
    /// This name: with this tag, where it has one.
    Name {
        name: String,
        /// `None` for any.
        tag: Option<String>,
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
        let named = |of: &dyn Fn(&RegistryReference) -> Self| own.map_or(Self::Nameless, of);
        Ok(match word("type")? {
            "matchExact" => named(&|own| Self::exact(own)),
            "matchRepoDigestOrExact" => named(&Self::exact_or_by_digest),
            "matchRepository" => named(&|own| Self::Name { name: own.name(), tag: None }),
            "exactReference" => Self::exact(&parsed("dockerReference")?),
            "exactRepository" => Self::Name { name: parsed("dockerRepository")?.name(), tag: None },
            "remapIdentity" => {
                let (prefix, signed) = (word("prefix")?, word("signedPrefix")?);
                named(&|own| match (Self::exact_or_by_digest(own), own.name().strip_prefix(prefix)) {
                    (Self::Name { tag, .. }, Some(rest)) if rest.is_empty() || rest.starts_with('/') => {
                        Self::Name { name: format!("{signed}{rest}"), tag }
                    }
                    (own, _) => own,
                })
            }
            other => return Err(PolicyError::NotJudged(format!("signedIdentity {other}"))),
        })
    }

    fn exact(reference: &RegistryReference) -> Self {
        let tag = reference.tag.as_ref().map_or_else(|| "latest".to_owned(), ToString::to_string);
        Self::Name { name: reference.name(), tag: Some(tag) }
    }

    fn exact_or_by_digest(reference: &RegistryReference) -> Self {
        if reference.digest.is_some() { Self::Name { name: reference.name(), tag: None } } else { Self::exact(reference) }
    }

    /// Whether a signature that calls the image `signed` will do.
    pub fn accepts(&self, signed: Option<&str>) -> bool {
        match (self, signed.map(RegistryReference::parse)) {
            (Self::Any, _) => true,
            (Self::Name { name, tag }, Some(Ok(signed))) => {
                signed.name() == *name && tag.as_ref().is_none_or(|tag| signed.tag.as_deref() == Some(tag))
            }
            _ => false,
        }
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("any name"),
            Self::Name { name, tag: Some(tag) } => write!(f, "`{name}:{tag}`"),
            Self::Name { name, tag: None } => write!(f, "`{name}`"),
            Self::Nameless => f.write_str("a name, which what lies on a disk has not"),
        }
    }
}
