//! What an image is called within a store: a tag at a registry, a name in a layout or archive.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::Serialize;

use crate::failure::{Class, Failure};
use crate::values::digest::{Digest, is_lowercase_hex};

/// A tag: `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}` (distribution-spec, "Pulling manifests").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Tag(String);

/// A local name: components of letters and digits joined by one of `-._:@/+` or `--` (image-spec, `annotations.md`,
/// `org.opencontainers.image.ref.name`), at most 512 bytes. Every [`Tag`] is one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LocalName(String);

impl Tag {
    /// The tag of a package's version: `+` is no tag character and becomes `_`. A version can be too long for a tag.
    pub fn of_version(version: &str) -> Result<Self, TagError> {
        version.replace('+', "_").parse()
    }

    /// Where a registry without an API for referrers lists those of a subject: the digest with a dash, its hexadecimal part
    /// cut to 64 characters (distribution-spec, "Referrers Tag Schema").
    pub fn of_referrers(subject: &Digest) -> Self {
        let hex = subject.hex();
        Self(format!("{}-{}", subject.algorithm().as_str(), &hex[..hex.len().min(64)]))
    }

    /// Where cosign and skopeo look for the signatures of a digest.
    pub fn of_signatures(subject: &Digest) -> Self {
        Self(format!("{}.sig", Self::of_referrers(subject)))
    }
}

/// Whether a tag is where others look for what is attached to a digest: the tag of its referrers and a suffix, `.sig` for
/// cosign and skopeo.
pub fn is_attached_to(tag: &str, subject: &Digest) -> bool {
    tag.starts_with(&*Tag::of_referrers(subject)) && referrers_suffix(tag).is_some_and(|suffix| !suffix.is_empty())
}

/// What follows in a tag that stands for the referrers of some digest: nothing, or `.` and a word. None for another tag.
pub fn referrers_suffix(tag: &str) -> Option<&str> {
    let (digest, suffix) = tag.split_at(tag.find('.').unwrap_or(tag.len()));
    let hex = digest.strip_prefix("sha256-").or_else(|| digest.strip_prefix("sha512-"))?;
    (hex.len() == 64 && is_lowercase_hex(hex) && suffix != ".").then_some(suffix)
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        if is_tag(text) { Ok(Self(text.to_owned())) } else { Err(TagError(text.to_owned())) }
    }
}

impl FromStr for LocalName {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        if is_tag(text) || is_local_name(text) { Ok(Self(text.to_owned())) } else { Err(TagError(text.to_owned())) }
    }
}

impl From<Tag> for LocalName {
    fn from(tag: Tag) -> Self {
        Self(tag.0)
    }
}

impl Deref for Tag {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Deref for LocalName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Display for LocalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

fn is_tag(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    first && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn is_local_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alphanumeric = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_alphanumeric);
    let separator = |b: &u8| b"-._:@/+".contains(b);
    let ends = alphanumeric(0) && alphanumeric(bytes.len().wrapping_sub(1));
    let joined = bytes.windows(2).all(|pair| !(separator(&pair[0]) && separator(&pair[1])) || pair == b"--");
    ends && joined && bytes.len() <= 512 && bytes.iter().all(|b| b.is_ascii_alphanumeric() || separator(b))
}

/// The text is no tag, or no local name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a valid tag (letters, digits, `_`, `.` and `-`, at most 128)")]
pub struct TagError(pub String);

impl Failure for TagError {
    fn class(&self) -> Class {
        Class::Usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_what_a_registry_takes_and_every_tag_is_a_local_name() {
        for good in ["1.0", "_x", "a..b", "A-B_c", &"x".repeat(128)] {
            let tag: Tag = good.parse().unwrap();
            assert_eq!(good.parse::<LocalName>().unwrap(), LocalName::from(tag));
        }
        for bad in ["", ".x", "-x", "a b", "a/b", "a:b", "../x", "é", &"x".repeat(129)] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
        for name in ["greeter:1.0", "a/b@c+d", "a--b", &"x".repeat(512)] {
            assert_eq!(name.parse::<LocalName>().unwrap().to_string(), name);
        }
        for bad in ["", "a//b", "a b", "/a", "a:", &"x".repeat(513)] {
            assert!(bad.parse::<LocalName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tag_of_referrers_is_told_from_others_and_by_its_suffix() {
        let digest = Digest::of(b"");
        let tag = Tag::of_referrers(&digest);
        assert_eq!(referrers_suffix(&tag), Some(""));
        assert_eq!(referrers_suffix(&format!("{tag}.sig")), Some(".sig"));
        assert!(is_attached_to(&format!("{tag}.sig"), &digest) && !is_attached_to(&format!("{tag}.sig"), &Digest::of(b"x")));
        for other in [format!("{tag}."), format!("{tag}-x"), format!("{}.sig", &tag[..70]), format!("x{tag}"), "1.0".to_owned()] {
            assert_eq!(referrers_suffix(&other), None, "{other}");
            assert!(!is_attached_to(&other, &digest));
        }
        assert!(!is_attached_to(&tag, &digest), "a list is not attached");
    }

    #[test]
    fn a_version_and_a_subject_have_tags() {
        assert_eq!(&*Tag::of_version("2.0.0-rc.1+build.5").unwrap(), "2.0.0-rc.1_build.5");
        assert!(Tag::of_version(&format!("1.0.0+{}", "b".repeat(128))).is_err());
        let digest = Digest::of(b"");
        assert_eq!(&*Tag::of_referrers(&digest), format!("sha256-{}", digest.hex()));
        let long: Digest = format!("sha512:{}", "a".repeat(128)).parse().unwrap();
        assert_eq!(&*Tag::of_referrers(&long), format!("sha512-{}", "a".repeat(64)));
    }
}
