//! Reading manifests: keys, kinds, selection, files.

use plugin_build::plugin::BuildFlags;

use crate::support::project::Project;

#[test]
fn the_packages_table_lies_over_the_workspaces() {
    let project = Project::fixture("trio");
    let workspace = project.load(&BuildFlags::default()).unwrap();
    let names: Vec<_> = workspace.plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    assert_eq!(names, ["alpha", "trio-beta", "gamma"]);
    let beta = &workspace.plugins[1];
    let env: Vec<_> = beta.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(env, ["BETA_ONLY=yes", "TRIO_LEVEL=2", "TRIO_MODE=shared"]);
    assert_eq!(beta.user.as_deref(), Some("1000:1000"));
    assert_eq!(workspace.plugins[2].args, ["--loud"]);
}
