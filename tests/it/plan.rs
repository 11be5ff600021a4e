//! Plans: cargo's commands, remaps, flags.

use plugin_build::plugin::BuildFlags;

use crate::support::project::Project;

#[test]
fn a_plan_names_everything_that_will_happen() {
    let project = Project::fixture("greeter");
    let plan = project.plan(&BuildFlags::default());
    let image = &plan.images[0];
    assert_eq!((image.name.as_str(), image.version.as_str()), ("greeter", "0.3.1"));
    assert_eq!(image.tags, ["0.3.1"]);
    assert_eq!(image.output, project.root.join("target/plugin-build/greeter"));
    let files: Vec<_> = image.files.iter().map(|file| (file.path.as_str(), file.mode)).collect();
    assert_eq!(files, [("share/greeting.txt", 0o644), ("share/locale/fr/greeting.txt", 0o644)]);
    assert_eq!(image.targets[0].place.entrypoint, ["/greeter"]);
    assert_eq!(image.annotations["org.opencontainers.image.authors"], "Greeter Authors <greeter@plugins.example>, Ana Example");
    assert_eq!(plan.epoch.seconds(), 0);
    assert!(serde_json::to_string(&plan).unwrap().contains("\"invocations\""));
}
