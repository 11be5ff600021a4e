//! A package's own layout: what is meant by it, what stays in it, and which tags of it go out.

use crate::support::http_server::Answer;
use crate::support::memory_registry::{MemoryRegistry, Quirks};
use crate::support::program::{bytes_read, done, plugin_build, run};
use crate::support::project::Project;
use crate::support::sample::{Sample, noise};

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

    // So it is where the image is named: that with the tag, or else the one there is, under it.
    let layout = "oci:target/plugin-build/p";
    done(dir, &["push", "-t", "two", layout, &at("named")]);
    assert_eq!(tags(&project, &at("named")), ["two"]);
    done(dir, &["push", "-t", "stable", "-t", "1", &format!("{layout}:one"), &at("again")]);
    assert_eq!(tags(&project, &at("again")), ["1", "stable"]);
    // What only a build can heed is not dropped in silence, and no tag is taken for the whole layout.
    for wrong in [
        &["push", "--annotation", "a=b", layout, &at("named")][..],
        &["push", layout, &at("named"), "--features", "x"],
        &["run", &at("named"), "--profile", "dev"],
        &["run", &at("named"), "--tag", "two"],
        &["install", layout, "plugins", "--label", "a=b"],
        &["gc", "oci:target/plugin-build/p:one"],
    ] {
        let refused = run(dir, wrong);
        assert_eq!(refused.code, 2, "{wrong:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("help: "), "{}", refused.stderr);
    }
    done(dir, &["-q", "-o", "several", "-t", "a"]);
    say(&project, "1.0.1", "");
    done(dir, &["-q", "-o", "several", "-t", "b"]);
    done(dir, &["push", "several", "-t", "a", &at("which")]);
    assert_eq!(done(dir, &["run", &at("which")]), "1.0.0\n");

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

#[test]
fn what_ends_early_leaves_no_directory() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let sample = Sample::image("nine", 100);
    sample.to_layout(&dir.join("layout"));
    let lost = &sample.layers_and_configs()[0];
    let registry = MemoryRegistry::scripted(Quirks::default(), |request, memory| {
        let stalls = request.is("GET", "/blobs/") && memory.count("PUT", "/manifests/") > 0;
        stalls.then(|| Answer::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n".to_vec()))
    });
    let image = format!("{}/nine:1", registry.server.host());
    done(dir, &["push", "layout", &image]);
    // Often, for the first moments of a directory are short.
    for round in 0..60 {
        let seen = ["deep", "deep/below", "deep/below/pulled"][round % 3];
        let mut pull = plugin_build(dir).args(["pull", &image, "deep/below/pulled"]).spawn().unwrap();
        while !dir.join(seen).exists() {
            assert!(pull.try_wait().unwrap().is_none(), "it ended before it was interrupted");
            std::thread::yield_now();
        }
        let pid = nix::unistd::Pid::from_raw(i32::try_from(pull.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
        assert_eq!(pull.wait().unwrap().code(), Some(130));
        assert!(!dir.join("deep").exists(), "an interrupt leaves nothing");
    }

    std::fs::remove_file(dir.join("layout/blobs/sha256").join(lost.hex())).unwrap();
    assert_eq!(run(dir, &["copy", "layout", "oci:deep/below/copied"]).code, 1);
    assert!(!dir.join("deep").exists(), "a failure leaves nothing");
}

#[cfg(target_os = "linux")]
#[test]
fn a_changed_file_among_many_costs_one_pass_and_one_that_was_only_touched_no_blob() {
    const FILES: usize = 100;
    const SIZE: usize = 100_000;
    let project = Project::new(&[]);
    say(&project, "1.0.0", "files = [{ from = \"assets\" }]");
    for number in 0..FILES {
        let folder = project.root.join("assets");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(number.to_string()), noise(&number.to_string(), SIZE)).unwrap();
    }
    let built = || {
        let mut command = plugin_build(&project.root);
        bytes_read(command.args(["--message-format", "json"]).env("CARGO_PLUGIN_BUILD_RACY_SECONDS", "-1"))
    };
    built();
    built();
    let (unchanged, before) = built();
    project.write("assets/7", &"seven".repeat(SIZE / 5));
    let (changed, after) = built();
    assert_ne!(before, after);
    let all = (FILES * SIZE) as u64;
    assert!(unchanged < all / 2 && changed < all * 3 / 2, "{unchanged}, {changed} of {all}");
    // The same bytes under a new time are packed, found to be known, and thrown away.
    project.write("assets/7", &"seven".repeat(SIZE / 5));
    assert_eq!(built().1, after);
    done(&project.root, &["verify"]);
}
