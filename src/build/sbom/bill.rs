//! All that one image is made of, before it takes a format.

use super::graph::Graph;
use super::purl::encoded;
use plugin_oci::values::digest::Digest;
use plugin_oci::values::epoch::Epoch;

/// One image.
#[derive(Clone, Debug)]
pub struct Bill {
    /// The plugin's name.
    pub name: String,
    pub version: String,
    /// Files that all platforms share.
    pub files: Vec<HashedFile>,
    pub platforms: Vec<PlatformBill>,
    pub epoch: Epoch,
}

/// One platform of an image.
#[derive(Clone, Debug)]
pub struct PlatformBill {
    /// `os/architecture`.
    pub platform: String,
    pub graph: Graph,
    /// The plugin's program, library or module.
    pub artifact: HashedFile,
    /// Loader and libraries of the machine that are packed with it.
    pub libraries: Vec<HashedFile>,
    pub compiler: Compiler,
    /// What links the artifact, by its own words.
    pub linker: Option<String>,
    /// The C library that is linked into it.
    pub libc: Option<Libc>,
}

/// A file of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashedFile {
    /// Its path from the image's root.
    pub path: String,
    pub digest: Digest,
}

/// The Rust compiler, which brings the standard library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    pub release: String,
    /// The commit that it was built from, where it tells one.
    pub commit: Option<String>,
}

/// A C library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Libc {
    /// `glibc` or `musl`.
    pub name: &'static str,
    pub version: Option<String>,
    /// Digest of its `libc.a`.
    pub digest: Option<Digest>,
}

impl Compiler {
    /// The purl of a part of Rust: `rustc` or `rust-std`.
    pub fn purl(&self, part: &str) -> String {
        let vcs = |commit: &String| format!("?vcs_url={}", encoded(&format!("git+https://github.com/rust-lang/rust@{commit}")));
        format!("pkg:generic/{part}@{}{}", encoded(&self.release), self.commit.as_ref().map(vcs).unwrap_or_default())
    }
}

impl Libc {
    /// Its purl.
    pub fn purl(&self) -> String {
        let version = self.version.as_ref().map(|version| format!("@{}", encoded(version))).unwrap_or_default();
        format!("pkg:generic/{}{version}", self.name)
    }
}
