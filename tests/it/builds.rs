//! A package's own layout: what is meant by it, what stays in it, and which tags of it go out.

use crate::support::memory_registry::MemoryRegistry;
use crate::support::program::{done, run};
use crate::support::project::Project;

fn tags(project: &Project, store: &str) -> Vec<String> {
    done(&project.root, &["ls", store]).lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

fn say(project: &Project, version: &str, key: &str) {
    let table = format!("[package.metadata.plugin-build]\n{key}\n");
    let package = format!("[package]\nname = \"p\"\nversion = \"{version}\"\nedition = \"2024\"\n\n[workspace]\n\n{table}");
    project.write("Cargo.toml", &package);
    project.write("src/main.rs", &format!("fn main() {{ println!(\"{version}\"); }}\n"));
}

#[test]
fn the_last_build_is_meant_and_as_many_stay_as_are_asked_for() {
    let project = Project::new(&[]);
    let dir = project.root.as_path();
    let own = "target/plugin-build/p";
    say(&project, "1.0.0", "");
    done(dir, &["-q"]);
    say(&project, "1.1.0", "");
    done(dir, &["-q"]);
    // Between a new version and its build the last build is that of the old one.
    say(&project, "1.2.0", "");
    assert!(done(dir, &["inspect"]).starts_with(&format!("oci:{own}:1.1.0\n")));
    assert_eq!(done(dir, &["run", own]), "1.1.0\n");
    assert_eq!(done(dir, &["run", "--no-build"]), "1.1.0\n");
    assert_eq!(done(dir, &["run", &format!("{own}:1.0.0")]), "1.0.0\n");
    done(dir, &["verify"]);
    done(dir, &["verify", own]);
    let registry = MemoryRegistry::honest();
    let repository = format!("{}/p", registry.server.host());
    done(dir, &["push", own, &repository]);
    assert_eq!(tags(&project, &repository), ["1.1.0"]);
    // What was built again under an old tag is the last build.
    say(&project, "1.2.0", "");
    done(dir, &["-q", "-t", "1.0.0"]);
    assert_eq!(done(dir, &["run", "--no-build"]), "1.2.0\n");
    assert_eq!(tags(&project, own), ["1.0.0", "1.1.0"], "without `keep` every tag stays");

    say(&project, "1.3.0", "keep = 2");
    let kept = run(dir, &[]);
    assert!(kept.stderr.contains("Dropped 1.1.0, which is older than the last 2 builds"), "{}", kept.stderr);
    assert_eq!(tags(&project, own), ["1.0.0", "1.3.0"]);
    assert_eq!(done(dir, &["gc", own]), "", "their blobs went along");
    say(&project, "1.3.0", "keep = 0");
    assert_eq!(run(dir, &[]).code, 2);
    // A memory that cannot be read is none.
    say(&project, "1.3.0", "");
    project.write(&format!("{own}/.plugin-build.builds"), "nonsense\nsha256:00 x\n");
    assert_eq!(run(dir, &["run", own]).code, 2);
    assert_eq!(done(dir, &["run", "--no-build"]), "1.3.0\n");
}

#[test]
fn only_the_tags_that_were_asked_for_go_out_and_one_tag_comes_back() {
    let project = Project::new(&[]);
    let dir = project.root.as_path();
    say(&project, "1.0.0", "");
    let registry = MemoryRegistry::honest();
    let host = registry.server.host();
    let at = |name: &str| format!("{host}/{name}");
    done(dir, &["-q", "-t", "release"]);
    done(dir, &["push", "-t", "nightly", &at("pushed")]);
    assert_eq!(tags(&project, &at("pushed")), ["nightly"]);
    done(dir, &["-t", "one", "-t", "two", "--push", &at("built")]);
    assert_eq!(tags(&project, &at("built")), ["one", "two"]);
    done(dir, &["push", "--no-build", "-t", "release", &at("kept")]);
    assert_eq!(tags(&project, &at("kept")), ["release"]);
    done(dir, &["push", "--no-build", &at("last")]);
    assert_eq!(tags(&project, &at("last")), ["one", "two"]);

    // One tag that is no `latest` is the one that is meant; of several, `latest` or none.
    let pulled = done(dir, &["pull", &at("pushed"), "pulled"]);
    assert_eq!(pulled.trim(), "oci:pulled:nightly");
    assert_eq!(done(dir, &["run", &at("pushed")]), "1.0.0\n");
    let several = run(dir, &["pull", &at("built"), "several"]);
    assert_eq!(several.code, 1);
    assert!(several.stderr.contains("it has one, two"), "{}", several.stderr);
    done(dir, &["push", "-t", "latest", &at("built")]);
    assert_eq!(done(dir, &["pull", &at("built"), "latest"]).trim(), "oci:latest:latest");
}
