//! What is known to make bytes differ from build to build, told before compiling because it cannot be seen afterwards.

use std::path::Path;

use super::request::profile_keys;
use crate::build::manifest::{BuildFlags, Workspace};
use crate::build::repository::Repository;
use crate::build::toolchain::find_program;
use plugin_oci::environment::Environment;
use plugin_oci::progress::{Event, Progress};

/// Tells each hazard with its cure.
pub(super) fn tell(workspace: &Workspace, flags: &BuildFlags, env: &Environment, progress: &dyn Progress) {
    let tell = |rule: &'static str, text: String, hint: &str| {
        progress.event(Event::Hazard { rule, text, hint: hint.to_owned() });
    };
    // This program hides such paths where it can stand between cargo and rustc.
    for package in workspace.foreign.iter().filter(|package| package.is_path && env.program.is_none()) {
        let place = package.directory.display();
        tell(
            "outside-path",
            format!(
                "{} lies outside the workspace at {place}: its absolute path enters cargo's hashes, and so the bytes",
                package.name
            ),
            "move it into the workspace, or depend on it from git or a registry",
        );
    }
    if let Some(package) = workspace.foreign.iter().find(|package| package.is_path && env.program.is_some())
        && let Some(split) = profile_keys(workspace, flags.profile()).get("split-debuginfo").and_then(|value| value.as_str())
        && split != "off"
    {
        tell(
            "outside-split",
            format!(
                "{} lies outside the workspace, and split-debuginfo is `{split}`: the program names files that cargo calls by a hash \
                 of where that lies",
                package.name
            ),
            "set split-debuginfo = \"off\" in the profile, or move it into the workspace",
        );
    }
    let wrapper = env.path("RUSTC_WORKSPACE_WRAPPER").or_else(|| workspace.cargo_config.workspace_wrapper());
    if let Some(wrapper) = wrapper {
        let wrapper = wrapper.display();
        tell(
            "workspace-wrapper",
            format!("rustc runs under the workspace wrapper {wrapper}: cargo mixes that into its hashes, and so into the bytes"),
            "unset RUSTC_WORKSPACE_WRAPPER and build.rustc-workspace-wrapper",
        );
    }
    let seed = "CONST_RANDOM_SEED";
    let seeded = env.os(seed).is_some() || workspace.cargo_config.sets_variable(seed);
    if workspace.draws_random && !seeded {
        tell(
            "const-random",
            "const-random draws a new seed at every compilation, so that no two builds are equal".to_owned(),
            "set CONST_RANDOM_SEED to any fixed text, best under [env] in .cargo/config.toml, or turn off the feature that wants \
             it (ahash: `compile-time-rng`)",
        );
    }
    if let Some(name) = asks_git(workspace)
        && let Some((absent, hint)) = absent_git(workspace, env)
    {
        let text = format!("the build script of {name} asks git, and {absent}: it says something else than where git answers");
        tell("git-absent", text, &hint);
    }
}

/// Why git has no answer here, in a sandbox or in a copy of the sources, and the way out.
fn absent_git(workspace: &Workspace, env: &Environment) -> Option<(String, String)> {
    let elsewhere = "build from a checkout, with git installed".to_owned();
    let marked = workspace.root.ancestors().find(|above| above.join(".git").symlink_metadata().is_ok());
    if let Some(tree) = marked.filter(|tree| tree.join(".git").is_file() && Repository::at(tree).is_none()) {
        let file = tree.join(".git");
        let hint =
            format!("where {} is yours: `git -C {} config core.worktree {}`", file.display(), tree.display(), tree.display());
        return Some((format!("the repository that {} names does not name this working tree", file.display()), hint));
    }
    let Some(tree) = Repository::above(&workspace.root) else {
        return Some(("these sources are no git checkout".to_owned(), elsewhere));
    };
    if find_program("git".as_ref(), env).is_none() {
        return Some(("there is no git on PATH".to_owned(), elsewhere));
    }
    let lenders = Repository::at(&tree).filter(|_| workspace.ground.is_some()).map(|repository| repository.lenders());
    let lender = lenders?.unproven.into_iter().next()?;
    let absent = format!("its repository borrows objects of {}, which a sandbox does not show", lender.display());
    Some((absent, format!("copy them: `git -C {0} repack -a -d`, and remove .git/objects/info/alternates", tree.display())))
}

/// A plugin's package whose build script has git's name in it.
fn asks_git(workspace: &Workspace) -> Option<&str> {
    let script = |directory: &Path| std::fs::read_to_string(directory.join("build.rs")).unwrap_or_default();
    let asking = workspace.plugins.iter().find(|plugin| script(&plugin.package.directory).contains("\"git\""));
    asking.map(|plugin| plugin.package.name.as_str())
}
