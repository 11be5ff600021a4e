//! What is known to make bytes differ from build to build, told before compiling because it cannot be seen afterwards.

use crate::environment::Environment;
use crate::plugin::Workspace;
use crate::progress::Progress;

/// Warns of each hazard with its cure.
pub(super) fn warn(workspace: &Workspace, env: &Environment, progress: &dyn Progress) {
    for package in workspace.foreign.iter().filter(|package| package.is_path) {
        progress.warn(
            format!(
                "{} lies outside the workspace at {}: its absolute path enters cargo's hashes, and so the bytes",
                package.name,
                package.directory.display()
            ),
            Some("move it into the workspace, or depend on it from git or a registry".to_owned()),
        );
    }
    let wrapper = env.path("RUSTC_WORKSPACE_WRAPPER").or_else(|| workspace.cargo_config.workspace_wrapper());
    if let Some(wrapper) = wrapper {
        progress.warn(
            format!(
                "rustc runs under the workspace wrapper {}: cargo mixes that into its hashes, and so into the bytes",
                wrapper.display()
            ),
            Some("unset RUSTC_WORKSPACE_WRAPPER and build.rustc-workspace-wrapper".to_owned()),
        );
    }
    let seed = "CONST_RANDOM_SEED";
    let seeded = env.os(seed).is_some() || workspace.cargo_config.sets_variable(seed);
    if !seeded && locks(workspace, "const-random") {
        progress.warn(
            "const-random draws a new seed at every compilation, so that no two builds are equal".to_owned(),
            Some(
                "set CONST_RANDOM_SEED to any fixed text, best under [env] in .cargo/config.toml, or turn off the feature that \
                 wants it (ahash: `compile-time-rng`)"
                    .to_owned(),
            ),
        );
    }
}

/// Whether `Cargo.lock` holds a package.
fn locks(workspace: &Workspace, name: &str) -> bool {
    let text = std::fs::read_to_string(workspace.root.join("Cargo.lock")).unwrap_or_default();
    text.lines().any(|line| line.strip_prefix("name = ").is_some_and(|quoted| quoted.trim_matches('"') == name))
}
