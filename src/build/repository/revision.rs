//! Which commit the sources are, and where it can be had.
//!
//! git says the first, and whether anything differs from the commit: a file that is changed, or one that is new and that no
//! ignore file of the repository names. What the build itself makes does not count. A file that git was told to overlook, and a
//! submodule that it was told to, may have changed: nobody calls that the commit. The second is read off the
//! configuration, and told as whoever has nothing but a browser would reach it: a clone by SSH, by HTTPS or with a token
//! gives the same.

use std::fs;
use std::path::Path;

use super::Repository;
use crate::build::toolchain::ToolchainError;
use crate::build::toolchain::ask::{Answer, Ask, Question};
use plugin_oci::progress::Progress;

/// The end of a revision that nobody can check out.
const DIRTY: &str = "+dirty";

/// What a repository says of sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The commit, in hexadecimal.
    pub commit: String,
    /// Whether the sources are something else than that commit.
    pub is_dirty: bool,
    /// The URL of the remote `origin`, without user, password and `.git`.
    pub source: Option<String>,
}

/// A question under way.
pub struct Asked {
    answer: Answer,
    /// What lies there and is not tracked, where git is told of more to ignore than the repository says.
    others: Option<Answer>,
    is_overlooked: bool,
    source: Option<String>,
}

/// Asks git about the repository that a workspace lies in, and does not wait. `None` where there is none, or no git.
/// `products` are directories whose content does not count.
pub fn ask(root: &Path, products: &[&Path], place: &dyn Ask, progress: &dyn Progress) -> Option<Asked> {
    let tree = Repository::above(root)?;
    let repository = Repository::at(&tree);
    let source = repository.as_ref().and_then(origin);
    let tracked = repository.as_ref().and_then(Repository::tracked).unwrap_or_default();
    let is_overlooked = tracked.iter().any(|entry| entry.is_overlooked && tree.join(&entry.name).symlink_metadata().is_ok());
    let excludes = |repository: &Repository| fs::read_to_string(repository.common.join("info/exclude")).unwrap_or_default();
    let is_rule = |line: &str| !line.trim().is_empty() && !line.starts_with('#');
    let ignores_more = repository.as_ref().map(excludes).is_some_and(|text| text.lines().any(is_rule));
    // No program that the repository's configuration names, and no ignore file that only this user has.
    let settings = ["-c", "core.fsmonitor=false", "-c", "core.excludesFile=/dev/null", "--no-optional-locks"];
    let status: &[&str] = &[
        "status",
        "--porcelain=v2",
        "--branch",
        "--no-ahead-behind",
        "--untracked-files=normal",
        "--ignore-submodules=none",
        "-z",
        "--",
        ":/",
    ];
    let others: &[&str] = &["ls-files", "--others", "--exclude-per-directory=.gitignore", "-z", "--", ":/"];
    let tree = tree.display().to_string();
    let put = |words: &[&str]| {
        let mut question = Question::new(Path::new("git"), &[&settings[..], words].concat());
        question.args.splice(0..0, ["-C".to_owned(), tree.clone()]);
        let products = products.iter().filter_map(|product| product.strip_prefix(&tree).ok()?.to_str());
        question.args.extend(products.filter(|below| !below.is_empty()).map(|below| format!(":(top,exclude,literal){below}")));
        question.put(place, progress).ok()
    };
    Some(Asked { answer: put(status)?, others: if ignores_more { put(others) } else { None }, is_overlooked, source })
}

impl Asked {
    /// Waits for the answer; `None` where git has none, or there is no commit yet.
    pub fn answer(self) -> Result<Option<Revision>, ToolchainError> {
        let bad = |error: std::io::Error| ToolchainError::Answer { command: "git status".to_owned(), detail: error.to_string() };
        let output = self.answer.output().map_err(bad)?;
        let told = String::from_utf8_lossy(&output.stdout);
        let lines = || told.split('\0').filter(|line| !line.is_empty());
        let commit = lines().find_map(|line| line.strip_prefix("# branch.oid "));
        let is_hash = |text: &&str| text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let Some(commit) = commit.filter(is_hash).filter(|_| output.status.success()) else { return Ok(None) };
        let others = self.others.map(Answer::output).transpose().map_err(bad)?;
        let is_new = others.is_some_and(|others| !others.stdout.is_empty());
        let is_dirty = self.is_overlooked || is_new || lines().any(|line| !line.starts_with("# "));
        Ok(Some(Revision { commit: commit.to_owned(), is_dirty, source: self.source }))
    }
}

impl Revision {
    /// The commit, with `+dirty` where the sources differ from it.
    pub fn text(&self) -> String {
        if self.is_dirty { format!("{}{DIRTY}", self.commit) } else { self.commit.clone() }
    }
}

/// Where the remote `origin` can be had.
fn origin(repository: &Repository) -> Option<String> {
    let config = fs::read_to_string(repository.common.join("config")).ok()?;
    let mut is_origin = false;
    let mut found = None;
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            is_origin = line == "[remote \"origin\"]";
        } else if let Some((key, value)) = line.split_once('=')
            && is_origin
            && key.trim().eq_ignore_ascii_case("url")
        {
            found = public(value.trim().trim_matches('"'));
        }
    }
    found
}

/// An address as a browser takes it; `None` for a place on this machine, and for what is no plain address.
fn public(url: &str) -> Option<String> {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest.to_owned()),
        Some(("ssh" | "git" | "git+ssh", rest)) => {
            // The port is that of another service.
            let (authority, path) = rest.split_once('/')?;
            let host = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
            ("https", format!("{}/{path}", host.map_or(authority, |(host, _)| host)))
        }
        Some(_) => return None,
        // git's short form; a drive has one letter.
        None => {
            let (host, path) = url.split_once(':').filter(|(host, _)| host.len() > 1 && !host.contains('/'))?;
            ("https", format!("{host}/{}", path.trim_start_matches('/')))
        }
    };
    let (authority, path) = rest.split_once('/')?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/:[]%+".contains(&byte));
    (!host.is_empty() && !path.is_empty() && is_plain(host) && is_plain(path)).then(|| format!("{scheme}://{host}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_one_repository_is_told_alike_and_without_secrets() {
        for url in [
            "https://git.example/o/r",
            "https://git.example/o/r.git",
            "https://me:token@git.example/o/r.git/",
            "ssh://git@git.example:2222/o/r.git",
            "git@git.example:o/r.git",
            "git.example:/o/r",
            "git://git.example/o/r",
        ] {
            assert_eq!(public(url).as_deref(), Some("https://git.example/o/r"), "{url}");
        }
        assert_eq!(public("http://localhost:3000/o/r").as_deref(), Some("http://localhost:3000/o/r"));
        for url in [
            "/srv/r.git",
            "../r",
            "file:///srv/r",
            "C:\\r",
            "ext::sh -c x",
            "https://h/o r",
            "https://h/",
            "",
            "https://h/r?token=x",
        ] {
            assert_eq!(public(url), None, "{url}");
        }
    }
}
