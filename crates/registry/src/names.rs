//! What a path names. Only what the grammar of the specification allows becomes a key of the store.

use plugin_oci::values::digest::Digest;
use plugin_oci::values::reference::is_repository;
use plugin_oci::values::tag::Tag;

use crate::fault::Fault;

/// The name of a repository whose objects are nobody else's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(String);

/// What stands between a repository's name and what is in it.
const KINDS: [&str; 4] = ["blobs", "manifests", "referrers", "tags"];

impl Name {
    /// Reads one. Where a part of it were the folder of another's objects, two repositories would share a key.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let mut parts = text.split('/');
        let first = parts.next().unwrap_or_default();
        let is_own = first != "index.html" && !KINDS.contains(&first) && parts.all(|part| !KINDS.contains(&part));
        if is_repository(text) && is_own {
            Ok(Self(text.to_owned()))
        } else {
            Err(Fault::name_invalid("this is no name of a repository"))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of something in it.
    pub(crate) fn key(&self, rest: &str) -> String {
        format!("v2/{}/{rest}", self.0)
    }

    pub(crate) fn blob(&self, digest: &Digest) -> String {
        self.key(&format!("blobs/{digest}"))
    }

    pub(crate) fn manifest(&self, digest: &Digest) -> String {
        self.key(&format!("manifests/{digest}"))
    }

    pub(crate) fn tag(&self, tag: &str) -> String {
        self.key(&format!("manifests/{tag}"))
    }

    pub(crate) fn referrers(&self, subject: &Digest) -> String {
        self.key(&format!("referrers/{subject}"))
    }

    pub(crate) fn tags(&self) -> String {
        self.key("tags/list")
    }
}

/// A manifest, by its digest or by a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Digest(Digest),
    Tag(Tag),
}

/// What a request is about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Base,
    /// The pages for people (`plugin_oci::catalogue`).
    ListPage,
    RepositoryPage(Name),
    ImagePage(Name, Tag),
    Blob(Name, Digest),
    Manifest(Name, Wanted),
    Tags(Name),
    Referrers(Name, Digest),
    Uploads(Name),
    Upload(Name, String),
}

impl Route {
    /// Reads the path of a URL, as it was sent.
    pub(crate) fn parse(path: &str) -> Result<Self, Fault> {
        let nothing = || Fault::nothing("there is nothing of that name");
        if path == "/" || path == "/index.html" {
            return Ok(Self::ListPage);
        }
        if let Some(page) = path.strip_prefix("/catalogue/").and_then(|page| page.strip_suffix(".html")) {
            if let Some(name) = page.strip_suffix("/_") {
                return Ok(Self::RepositoryPage(Name::parse(name)?));
            }
            let (name, tag) = page.split_once("/_/").ok_or_else(nothing)?;
            return Ok(Self::ImagePage(Name::parse(name)?, tag.parse().map_err(|_| Fault::tag_invalid("this is no tag"))?));
        }
        let rest = path.strip_prefix("/v2").ok_or_else(nothing)?;
        if rest.is_empty() || rest == "/" {
            return Ok(Self::Base);
        }
        let rest = rest.strip_prefix('/').ok_or_else(nothing)?;
        if let Some(name) = rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads")) {
            return Ok(Self::Uploads(Name::parse(name)?));
        }
        let (above, last) = rest.rsplit_once('/').ok_or_else(nothing)?;
        if let Some(name) = above.strip_suffix("/blobs/uploads") {
            return Ok(Self::Upload(Name::parse(name)?, last.to_owned()));
        }
        let (name, kind) = above.rsplit_once('/').ok_or_else(nothing)?;
        // Some clients encode the colon.
        let last = last.replace("%3A", ":").replace("%3a", ":");
        let digest = || last.parse::<Digest>().map_err(|_| Fault::digest_invalid("this is no digest of sha256 or sha512"));
        match kind {
            "blobs" => Ok(Self::Blob(Name::parse(name)?, digest()?)),
            "referrers" => Ok(Self::Referrers(Name::parse(name)?, digest()?)),
            "tags" if last == "list" => Ok(Self::Tags(Name::parse(name)?)),
            "manifests" if last.contains(':') => Ok(Self::Manifest(Name::parse(name)?, Wanted::Digest(digest()?))),
            "manifests" => {
                let tag = last.parse().map_err(|_| Fault::tag_invalid("this is no tag"))?;
                Ok(Self::Manifest(Name::parse(name)?, Wanted::Tag(tag)))
            }
            _ => Err(nothing()),
        }
    }

    /// The repository that it is about.
    pub(crate) const fn name(&self) -> Option<&Name> {
        match self {
            Self::Base | Self::ListPage => None,
            Self::Blob(name, _)
            | Self::Manifest(name, _)
            | Self::Tags(name)
            | Self::Referrers(name, _)
            | Self::Uploads(name)
            | Self::RepositoryPage(name)
            | Self::ImagePage(name, _)
            | Self::Upload(name, _) => Some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_grammar_allows_is_a_route() {
        let digest = Digest::of(b"");
        let blob = Route::parse(&format!("/v2/a/b/blobs/{digest}")).unwrap();
        assert_eq!(blob, Route::Blob(Name("a/b".to_owned()), digest.clone()));
        assert_eq!(Route::parse(&format!("/v2/a/b/blobs/{}", digest.to_string().replace(':', "%3A"))).unwrap(), blob);
        for path in [
            "/v2/../blobs/x",
            "/v2//tags/list",
            "/v2/a/../b/tags/list",
            "/v2/a%2f../tags/list",
            "/v2/A/tags/list",
            "/v2/a/blobs/sha256:../../x",
            "/v2/a/manifests/..",
            "/v2/a/manifests/.x",
            "/v2/a/tags/list/tags/list",
            "/v2/index.html/tags/list",
            "/v2/a/manifests/b/tags/list",
            "/v2/a/tags/other",
            "/v2x/a/tags/list",
            "/_r/keys",
            "/catalogue/../_.html",
            "/catalogue/a/_/..html",
            "/catalogue/a/_.json",
        ] {
            assert!(Route::parse(path).is_err(), "{path}");
        }
    }
}
