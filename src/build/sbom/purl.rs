//! Package URLs of crates (ECMA-427, type `cargo`): the name of a package in bills, provenance and advisories.
//!
//! | from | qualifier |
//! |---|---|
//! | crates.io | none |
//! | another registry | `repository_url`, its index |
//! | git | `vcs_url`, with the commit |
//! | a path in the workspace | `download_url=file:` and the way from the workspace's directory |
//! | a path elsewhere | `download_url=file:` and name and version, as compilers are told it |
//!
//! What is nobody else's business stays out: places on this machine, users, tokens and queries of URLs.

use std::path::Path;

use cargo_metadata::Package;

use crate::build::toolchain::metadata::{self, CRATES_IO};
use plugin_oci::values::percent;

/// What a package is called.
pub fn of(package: &Package, workspace: &Path) -> String {
    let (name, version) = (package.name.as_str(), package.version.to_string());
    let Some(source) = &package.source else {
        let place = match metadata::directory(package).strip_prefix(workspace) {
            Ok(below) if below.as_os_str().is_empty() => ".".to_owned(),
            Ok(below) => below.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/"),
            Err(_) => format!("{name}-{version}"),
        };
        return qualified(name, &version, "download_url", &format!("file:{place}"));
    };
    of_source(name, &version, &source.repr)
}

/// What a package from a registry or from git is called.
pub fn of_source(name: &str, version: &str, source: &str) -> String {
    match source.split_once('+') {
        _ if source == CRATES_IO => plain(name, version),
        Some(("git", url)) => {
            let url_at_commit =
                format!("git+{}{}", public(url), commit(source).map(|commit| format!("@{commit}")).unwrap_or_default());
            qualified(name, version, "vcs_url", &url_at_commit)
        }
        Some((_, url)) => qualified(name, version, "repository_url", &public(url)),
        None => qualified(name, version, "repository_url", &public(source)),
    }
}

/// The commit of a source from git.
pub fn commit(source: &str) -> Option<&str> {
    source.strip_prefix("git+")?.rsplit_once('#').map(|(_, commit)| commit)
}

fn plain(name: &str, version: &str) -> String {
    format!("pkg:cargo/{}@{}", encoded(name), encoded(version))
}

fn qualified(name: &str, version: &str, key: &str, value: &str) -> String {
    format!("{}?{key}={}", plain(name, version), encoded(value))
}

/// Percent-encodes all but the letters that stand for themselves in each part, and the colon.
pub fn encoded(text: &str) -> String {
    percent::encoded(text, ":")
}

/// A URL without a place on this machine, a user, a token, a query or a fragment.
pub fn public(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or(url);
    if url.starts_with("file:") {
        return "file:".to_owned();
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.rsplit_once('@').map_or(url, |(_, rest)| rest).to_owned();
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_told_with_its_source_and_without_secrets() {
        for (source, told) in [
            (CRATES_IO, "pkg:cargo/p@1.0.0%2Bx"),
            (
                "sparse+https://me:token@crates.example/index/",
                "pkg:cargo/p@1.0.0%2Bx?repository_url=https:%2F%2Fcrates.example%2Findex%2F",
            ),
            ("registry+https://crates.example/i?token=x", "pkg:cargo/p@1.0.0%2Bx?repository_url=https:%2F%2Fcrates.example%2Fi"),
            ("registry+file:///home/me/index", "pkg:cargo/p@1.0.0%2Bx?repository_url=file:"),
            (
                "git+https://me:token@git.example/p?branch=x#0a",
                "pkg:cargo/p@1.0.0%2Bx?vcs_url=git%2Bhttps:%2F%2Fgit.example%2Fp%400a",
            ),
            ("git+ssh://git@git.example/p.git#0a", "pkg:cargo/p@1.0.0%2Bx?vcs_url=git%2Bssh:%2F%2Fgit.example%2Fp.git%400a"),
            ("git+file:///home/me/p#0a", "pkg:cargo/p@1.0.0%2Bx?vcs_url=git%2Bfile:%400a"),
        ] {
            assert_eq!(of_source("p", "1.0.0+x", source), told);
        }
    }
}
