//! The book is whole: every page is in its summary, every link leads somewhere, and every block of commands has a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::pages::{every_block, pages, root, text};
use crate::support::program::{plugin_build, ran};
use crate::support::tools::{require, stdout};

/// Languages of what a reader copies into a shell or a pipeline.
const COMMANDS: [&str; 3] = ["sh", "console", "yaml"];

/// Further pages, which are no part of the book.
const BESIDE: [&str; 6] = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "README.md", "RELEASING.md", "SECURITY.md"];

/// What stands in `[text](here)`, outside of blocks of code.
fn links(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut code = false;
    for line in text(page).lines() {
        code ^= line.starts_with("```");
        let links = line.split("](").skip(1).filter(|_| !code).filter_map(|rest| rest.split_once(')'));
        found.extend(links.map(|(link, _)| link.to_owned()));
    }
    found
}

/// The anchors of a page, as mdBook and code hosts make them from its headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut code = false;
    let mut found = BTreeSet::new();
    for line in text(page).lines() {
        code ^= line.starts_with("```");
        if let Some(heading) = line.strip_prefix('#').filter(|_| !code) {
            let heading = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            found.insert(heading.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect());
        }
    }
    found
}

/// A path without `.` and `..`.
fn tidy(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/').filter(|part| *part != ".") {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

#[test]
fn every_page_is_in_the_summary_once() {
    let summary = links("docs/src/SUMMARY.md");
    let listed: BTreeSet<String> = summary.iter().map(|link| format!("docs/src/{link}")).collect();
    assert_eq!(listed.len(), summary.len(), "a page is listed twice");
    let book = pages().into_iter().filter(|page| page != "README.md" && page != "docs/src/SUMMARY.md");
    assert_eq!(listed, book.collect::<BTreeSet<String>>());
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let all: BTreeSet<String> = pages().into_iter().chain(BESIDE.map(str::to_owned)).collect();
    let mut broken = Vec::new();
    for page in &all {
        for link in links(page).into_iter().filter(|link| !link.starts_with("https://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
            let target = if path.is_empty() { page.clone() } else { tidy(format!("{folder}/{path}").trim_start_matches('/')) };
            // The site holds the book alone.
            let kept = !page.starts_with("docs/src/") || target.starts_with("docs/src/");
            let there = root().join(&target).exists() && (anchor.is_empty() || anchors(&target).contains(anchor));
            if !kept || !there {
                broken.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// What a test asks for by page, heading and language, it runs.
#[test]
fn every_block_of_commands_has_a_test() {
    let dir = root().join("tests/it/recipes");
    let files = walkdir::WalkDir::new(dir).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    let mut tests: String = files.map(|entry| fs::read_to_string(entry.path()).unwrap()).collect();
    tests.retain(|c| !c.is_whitespace());
    let mut forgotten = Vec::new();
    for page in pages() {
        for block in every_block(&page) {
            assert!(!block.language.is_empty(), "{page}: a block without a language under `{}`", block.heading);
            let mut call = format!("blocks(\"{page}\",\"{}\",\"{}\")", block.heading, block.language);
            call.retain(|c| !c.is_whitespace());
            if COMMANDS.contains(&block.language.as_str()) && !tests.contains(&call) {
                forgotten.push(format!("{page}, `{}`: {}", block.heading, block.text.lines().next().unwrap_or_default()));
            }
        }
    }
    assert!(forgotten.is_empty(), "no test runs\n{}", forgotten.join("\n"));
}

/// Flags of other programs, which pages name beside ours.
const FOREIGN: [&str; 49] = [
    // our server, whose page holds them against its help
    "--access-log",
    "--anonymous",
    "--audit-log",
    "--auth",
    "--delete",
    "--expires",
    "--immutable",
    "--keys",
    "--listen",
    "--max-blob",
    "--max-requests",
    "--mirror",
    "--mirror-for",
    "--no-auth",
    "--policy-at",
    "--policy-host",
    "--pull",
    "--push",
    "--redirect",
    "--repo",
    "--tls-cert",
    "--tls-key",
    "--wait",
    "--patience",
    // git
    "--format",
    // cargo, and our benchmarks behind it
    "--baseline",
    "--bench",
    "--program",
    "--rounds",
    "--dev",
    "--no-deps",
    "--path",
    "--release",
    "--timings",
    "--versioned-dirs",
    // docker
    "--cap-add",
    "--security-opt",
    "--input",
    // ctr, skopeo, tar
    "--namespace",
    "--all-platforms",
    "--preserve-digests",
    "--exclude",
    // extism
    "--wasi",
    // cosign, notation
    "--bundle",
    "--insecure-ignore-tlog",
    "--oci-layout",
    "--scope",
    // cargo-audit
    "--db",
    "--no-fetch",
];

#[test]
fn every_flag_that_a_page_names_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let manual = ran(plugin_build(dir.path()).arg("man")).stdout.replace("\\-", "-");
    let known = |flag: &str| {
        let whole = |at: usize| !manual[at + flag.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
        FOREIGN.contains(&flag) || manual.match_indices(flag).any(|(at, _)| whole(at))
    };
    let mut unknown = BTreeSet::new();
    for page in pages() {
        for word in text(&page).split(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c))) {
            if word.starts_with("--") && word.len() > 2 && !word.starts_with("---") && !known(word) {
                unknown.insert(format!("{page}: {word}"));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
#[ignore = "needs mdbook"]
fn the_book_is_made_without_a_complaint() {
    let Some(mdbook) = require("mdbook") else { return };
    let site = tempfile::tempdir().unwrap();
    let output = Command::new(mdbook).arg("build").arg(root().join("docs")).arg("--dest-dir").arg(site.path()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !told.contains("WARN") && !told.contains("ERROR"), "{told}");
    for page in pages().into_iter().filter(|page| page != "README.md" && page != "docs/src/SUMMARY.md") {
        let made = site.path().join(page.trim_start_matches("docs/src/")).with_extension("html");
        assert!(made.is_file(), "{}", made.display());
        assert_no_include_is_left(&made);
    }
    stdout(Command::new("test").arg("-f").arg(site.path().join("index.html")));
}

fn assert_no_include_is_left(made: &Path) {
    assert!(!fs::read_to_string(made).unwrap().contains("{{#"), "{}", made.display());
}
