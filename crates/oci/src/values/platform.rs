//! Platforms as OCI spells them (`os/architecture[/variant]`, Go's words) and the Rust targets that make them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::failure::{Class, Failure};

/// An image platform. The derived order is the order of platforms in an index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, `darwin`, `windows`, `wasip1`.
    pub os: String,
    /// `amd64`, `arm64`, `wasm`.
    pub architecture: String,
    /// `v7` for arm; absent where the architecture has only one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub variant: Option<String>,
    /// The system's version, which Windows images are for: `10.0.20348.2700`.
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none", default)]
    pub os_version: Option<String>,
}

/// Target architecture (first component of a triple) -> Go's architecture and variant.
const ARCHITECTURES: [(&str, &str, Option<&str>); 18] = [
    ("x86_64", "amd64", None),
    ("aarch64", "arm64", None),
    ("i586", "386", None),
    ("i686", "386", None),
    ("arm", "arm", Some("v6")),
    ("armv5te", "arm", Some("v5")),
    ("armv7", "arm", Some("v7")),
    ("thumbv7neon", "arm", Some("v7")),
    ("loongarch64", "loong64", None),
    ("mips", "mips", None),
    ("mips64", "mips64", None),
    ("mips64el", "mips64le", None),
    ("mipsel", "mipsle", None),
    ("powerpc64", "ppc64", None),
    ("powerpc64le", "ppc64le", None),
    ("riscv64gc", "riscv64", None),
    ("s390x", "s390x", None),
    ("wasm32", "wasm", None),
];

/// What `--platform` may say and the target it means in an image without a base.
const TARGETS: [(&str, &str); 14] = [
    ("linux/amd64", "x86_64-unknown-linux-musl"),
    ("linux/arm64", "aarch64-unknown-linux-musl"),
    ("linux/386", "i686-unknown-linux-musl"),
    ("linux/arm/v6", "arm-unknown-linux-musleabihf"),
    ("linux/arm/v7", "armv7-unknown-linux-musleabihf"),
    ("linux/loong64", "loongarch64-unknown-linux-musl"),
    ("linux/ppc64le", "powerpc64le-unknown-linux-musl"),
    ("linux/riscv64", "riscv64gc-unknown-linux-musl"),
    ("linux/s390x", "s390x-unknown-linux-musl"),
    ("darwin/amd64", "x86_64-apple-darwin"),
    ("darwin/arm64", "aarch64-apple-darwin"),
    ("windows/amd64", "x86_64-pc-windows-gnu"),
    ("windows/arm64", "aarch64-pc-windows-gnullvm"),
    ("wasip1/wasm", "wasm32-wasip1"),
];

/// Other words for an architecture, and what they are in OCI's (containerd, `platforms/database.go`).
const WORDS: [(&str, &str, Option<&str>); 5] = [
    ("x86_64", "amd64", None),
    ("aarch64", "arm64", None),
    ("i386", "386", None),
    ("armhf", "arm", Some("v7")),
    ("armel", "arm", Some("v6")),
];

impl Platform {
    /// A platform without a variant.
    pub fn new(os: impl Into<String>, architecture: impl Into<String>) -> Self {
        Self { os: os.into(), architecture: architecture.into(), variant: None, os_version: None }
    }

    /// The platform that code for a Rust target triple runs on.
    pub fn of_target(triple: &str) -> Result<Self, PlatformError> {
        let unknown = || PlatformError::UnknownTarget(triple.to_owned());
        let mut parts = triple.split('-');
        let cpu = parts.next().ok_or_else(unknown)?;
        let rest: Vec<&str> = parts.collect();
        let (_, architecture, variant) = ARCHITECTURES.iter().find(|(name, _, _)| *name == cpu).ok_or_else(unknown)?;
        let os = rest.iter().find_map(|word| os_of_word(word)).ok_or_else(unknown)?;
        Ok(Self { variant: variant.map(str::to_owned), ..Self::new(os, *architecture) })
    }

    /// The target that `--platform` means in an image without a base: static, and the same bytes everywhere.
    pub fn static_target(&self) -> Result<&'static str, PlatformError> {
        let is_this = |name: &str| name.parse::<Self>().is_ok_and(|platform| platform.distance(self) == Some(0));
        let found = TARGETS.iter().find(|(name, _)| is_this(name));
        found.map(|(_, target)| *target).ok_or_else(|| PlatformError::NoTarget(self.to_string()))
    }

    /// How far an image for `self` is from what a host that asks for `wanted` likes best: 0 is that itself, `None` does not
    /// run there. An older variant serves a newer one, the newest first (containerd, `platforms/compare.go`).
    pub fn distance(&self, wanted: &Self) -> Option<u8> {
        if self.is_alike(wanted)
            && let (Some(own), Some(wanted)) = (self.generation(), wanted.generation())
        {
            return wanted.checked_sub(own).filter(|_| self.architecture != "arm" || own >= 5 || own == wanted);
        }
        self.agrees(wanted).then_some(0)
    }

    /// The number of the variant, or of the one that is meant where none is said (containerd, `platforms/database.go`).
    fn generation(&self) -> Option<u8> {
        let meant = match &*self.architecture {
            "amd64" => "v1",
            "arm" => "v7",
            "arm64" => "v8",
            _ => return None,
        };
        self.variant.as_deref().unwrap_or(meant).strip_prefix('v')?.parse().ok()
    }

    /// Whether both can be the same: os and architecture, and variant and version where both say one (`arm64` is `arm64/v8`).
    pub fn agrees(&self, other: &Self) -> bool {
        self.is_alike(other) && (other.variant.is_none() || self.variant.is_none() || self.variant == other.variant)
    }

    /// The same but for the variant. Of a version, the first parts are enough.
    fn is_alike(&self, wanted: &Self) -> bool {
        let is_within = |own: &str, wanted: &str| {
            own.strip_prefix(wanted).is_some_and(|rest| matches!(rest.chars().next(), None | Some('.')))
        };
        let versions = self.os_version.as_deref().zip(wanted.os_version.as_deref());
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && versions.is_none_or(|(own, wanted)| is_within(own, wanted))
    }

    /// The platform that this program itself runs on.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            other => other,
        };
        let os = if std::env::consts::OS == "macos" { "darwin" } else { std::env::consts::OS };
        Self::new(os, architecture)
    }
}

fn os_of_word(word: &str) -> Option<&'static str> {
    Some(match word {
        "linux" => "linux",
        "darwin" | "macos" => "darwin",
        "windows" => "windows",
        "freebsd" => "freebsd",
        "netbsd" => "netbsd",
        "openbsd" => "openbsd",
        "android" => "android",
        "wasi" | "wasip1" => "wasip1",
        "wasip2" => "wasip2",
        _ => return None,
    })
}

/// A target as `--builder zigbuild` takes it, `x86_64-unknown-linux-gnu.2.17`, apart: the triple that everybody else knows,
/// and the lowest glibc to run on.
pub fn split_glibc(target: &str) -> (&str, Option<&str>) {
    let environment = target.rfind("-gnu").map_or(target.len(), |at| at + 1);
    let version = target[environment..].find('.').map(|at| environment + at);
    // A target may also be a file, `own-gnu.json`.
    let version = version.filter(|at| target[at + 1..].starts_with(|first: char| first.is_ascii_digit()));
    version.map_or((target, None), |at| (&target[..at], Some(&target[at + 1..])))
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.os)?;
        if let Some(version) = &self.os_version {
            write!(f, "({version})")?;
        }
        write!(f, "/{}", self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// The platforms for which a Rust target is known.
pub fn with_targets() -> impl Iterator<Item = &'static str> {
    TARGETS.iter().map(|(platform, _)| *platform)
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let bad = || PlatformError::Malformed(text.to_owned());
        let parts: Vec<&str> = text.split('/').collect();
        let word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'_');
        let (os, version) = match parts[0].strip_suffix(')').and_then(|os| os.split_once('(')) {
            Some((os, version)) => (os, Some(version)),
            None => (parts[0], None),
        };
        let words = [os].into_iter().chain(version).chain(parts[1..].iter().copied());
        if !(2..=3).contains(&parts.len()) || !{ words }.all(|part| word(&part)) {
            return Err(bad());
        }
        let (architecture, variant) =
            WORDS.iter().find(|(word, ..)| *word == parts[1]).map_or((parts[1], None), |found| (found.1, found.2));
        let variant = parts.get(2).copied().or(variant).map(str::to_owned);
        Ok(Self { variant, os_version: version.map(str::to_owned), ..Self::new(os, architecture) })
    }
}

/// Why a platform or target cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// Not `os/architecture[/variant]`.
    #[error("`{0}` is not a platform (want `os/architecture`, such as `linux/amd64`)")]
    Malformed(String),
    /// No target is known for this platform.
    #[error("no Rust target is known for platform `{0}`")]
    NoTarget(String),
    /// The triple names no platform that OCI has words for.
    #[error("target `{0}` has no OCI platform")]
    UnknownTarget(String),
}

impl Failure for PlatformError {
    fn class(&self) -> Class {
        Class::Usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_platform_word_maps_to_a_target_and_back() {
        for (platform, target) in TARGETS {
            let parsed: Platform = platform.parse().unwrap();
            assert_eq!(parsed.static_target().unwrap(), target);
            assert_eq!(Platform::of_target(target).unwrap(), parsed, "{target}");
        }
        for (other, platform) in
            [("linux/arm64/v8", "linux/arm64"), ("linux/arm", "linux/arm/v7"), ("linux/x86_64", "linux/amd64")]
        {
            let target = |text: &str| text.parse::<Platform>().unwrap().static_target();
            assert_eq!(target(other), target(platform));
        }
        assert!("linux/amd64/v3".parse::<Platform>().unwrap().static_target().is_err(), "the target is for any amd64");
    }

    #[test]
    fn an_older_variant_serves_a_newer_one_as_containerd_has_it() {
        let distance = |own: &str, wanted: &str| own.parse::<Platform>().unwrap().distance(&wanted.parse().unwrap());
        for (own, wanted, expected) in [
            ("linux/arm/v7", "linux/arm", Some(0)),
            ("linux/arm", "linux/arm/v7", Some(0)),
            ("linux/arm/v6", "linux/arm/v7", Some(1)),
            ("linux/arm/v5", "linux/arm", Some(2)),
            ("linux/arm/v7", "linux/arm/v8", Some(1)),
            ("linux/arm/v4", "linux/arm", None),
            ("linux/arm/v7", "linux/arm/v6", None),
            ("linux/arm", "linux/arm/v5", None),
            ("linux/arm/v6", "freebsd/arm/v6", None),
            ("linux/arm64", "linux/arm64/v8", Some(0)),
            ("linux/arm64/v8", "linux/arm64/v9", Some(1)),
            ("linux/arm64/v9", "linux/arm64", None),
            ("linux/amd64/v3", "linux/amd64/v3", Some(0)),
            ("linux/amd64/v2", "linux/amd64/v3", Some(1)),
            ("linux/amd64", "linux/amd64/v3", Some(2)),
            ("linux/amd64/v1", "linux/x86_64", Some(0)),
            ("linux/amd64/v2", "linux/amd64", None),
            ("linux/arm/v6", "linux/armhf", Some(1)),
            ("linux/ppc64le/power9", "linux/ppc64le", Some(0)),
            ("windows(10.0.17763.5)/amd64", "windows/amd64", Some(0)),
            ("windows(10.0.17763.5)/amd64", "windows(10.0.17763)/amd64", Some(0)),
            ("windows(10.0.17763.5)/amd64", "windows(10.0.1776)/amd64", None),
        ] {
            assert_eq!(distance(own, wanted), expected, "{own} for {wanted}");
        }
        assert_eq!("windows(10.0.1)/amd64".parse::<Platform>().unwrap().to_string(), "windows(10.0.1)/amd64");
    }

    #[test]
    fn only_a_version_of_glibc_is_taken_off_a_target() {
        assert_eq!(split_glibc("x86_64-unknown-linux-gnu.2.17"), ("x86_64-unknown-linux-gnu", Some("2.17")));
        assert_eq!(split_glibc("arm-unknown-linux-gnueabihf.2.28"), ("arm-unknown-linux-gnueabihf", Some("2.28")));
        for plain in ["x86_64-unknown-linux-gnu", "thumbv8m.main-none-eabi", "own-gnu.json", "x86_64-unknown-linux-musl"] {
            assert_eq!(split_glibc(plain), (plain, None));
        }
    }

    #[test]
    fn malformed_platforms_are_refused() {
        for bad in [
            "linux",
            "linux/",
            "/amd64",
            "a/b/c/d",
            "linux/amd 64",
            "",
            "windows(/amd64",
            "windows()/amd64",
            "(1)/amd64",
            "linux/amd64(1)",
        ] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
