//! The commit that a workspace is checked out at, and whether its files are as committed.
//!
//! git is asked, in the sandbox where there is one, and only where it tracks the workspace. Files that it neither tracks nor
//! ignores count as a change: cargo would take them. What builds write does not: target directory and layouts. No URL of a remote
//! is told: a clone's differs from machine to machine, and may hold a token.

use std::path::Path;

use serde::Serialize;

use crate::build::plan::Plan;
use crate::build::repository::Repository;
use crate::build::toolchain::ask::{Answer, Ask, Question};
use crate::build::toolchain::find_program;
use plugin_oci::environment::Environment;
use plugin_oci::progress::Progress;

/// Where the sources stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// The commit, hexadecimal.
    pub commit: String,
    /// Whether a file differs from it.
    pub dirty: bool,
}

/// A question under way.
pub struct Asked(Option<Answer>);

/// Asks, and does not wait. Where there is no git, or none that tracks the workspace, there is nothing to be asked.
pub fn ask(plan: &Plan, env: &Environment, progress: &dyn Progress) -> Asked {
    Asked(put(plan, env, progress))
}

fn put(plan: &Plan, env: &Environment, progress: &dyn Progress) -> Option<Answer> {
    let root = plan.workspace_root.canonicalize().ok()?;
    let tree = Repository::above(&root)?;
    if !Repository::at(&tree)?.tracks(&root.join("Cargo.toml")) {
        return None;
    }
    let git = find_program("git".as_ref(), env)?;
    let written =
        [&plan.target_directory, &plan.build_directory].into_iter().chain(plan.images.iter().map(|image| &image.output));
    let below = |path: &std::path::PathBuf| path.strip_prefix(&tree).ok().and_then(Path::to_str).map(str::to_owned);
    let without = written.filter_map(below).filter(|path| !path.is_empty());
    let mut question = Question::new(&git, &["--no-optional-locks", "-c", "core.fsmonitor=false", "-C"]);
    question.args.push(tree.display().to_string());
    // Whatever a hook's environment says.
    question.args.extend(["--git-dir=.git", "--work-tree=.", "status", "--porcelain=v2", "--branch"].map(str::to_owned));
    question.args.extend(["--untracked-files=normal", "--no-renames", "--", ":/"].map(str::to_owned));
    question.args.extend(without.map(|path| format!(":(exclude,top,literal){path}")));
    let place: &dyn Ask = match &plan.hermetic {
        Some(sandbox) => sandbox,
        None => env,
    };
    question.put(place, progress).ok()
}

impl Asked {
    /// Waits for the answer; `None` where git has none.
    pub fn answer(self) -> Option<Source> {
        let output = self.0?.output().ok().filter(|output| output.status.success())?;
        parse(&String::from_utf8_lossy(&output.stdout))
    }
}

/// By git-status(1), "Porcelain Format Version 2".
fn parse(text: &str) -> Option<Source> {
    let commit = text.lines().find_map(|line| line.strip_prefix("# branch.oid "))?;
    let is_commit = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    let dirty = text.lines().any(|line| !line.starts_with('#'));
    is_commit.then(|| Source { commit: commit.to_owned(), dirty })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_without_a_commit_says_nothing() {
        let commit = "0123456789012345678901234567890123456789";
        let text = format!("# branch.oid {commit}\n# branch.head main\n");
        assert_eq!(parse(&text), Some(Source { commit: commit.to_owned(), dirty: false }));
        assert!(parse(&format!("{text}? new\n")).unwrap().dirty);
        assert_eq!(parse("# branch.oid (initial)\n# branch.head main\n"), None);
        assert_eq!(parse(""), None);
    }
}
