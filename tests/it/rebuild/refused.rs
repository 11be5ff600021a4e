//! What an image asks of a rebuild and does not get.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::{built, forge};
use crate::support::namespaces;
use crate::support::program::{plugin_build, ran};
use crate::support::project::Project;

#[test]
#[ignore = "needs namespaces"]
fn flags_of_an_image_that_could_start_programs_are_refused() {
    let project = Project::with_table("");
    // gcc starts everything by way of the program after `-wrapper`.
    let flags = "-Copt-level=1 -Clink-arg=-wrapper -Clink-arg=env";
    let first = ran(plugin_build(&project.root).args(["build", "-q", "-o", "out"]).env("RUSTFLAGS", flags));
    assert_eq!(first.code, 0, "{}", first.stderr);
    let more = if namespaces::are_there() { &[&[][..], &["--accept-request"], &["--hermetic"]][..] } else { &[&[][..]] };
    for more in more {
        let refused = project.run(&[&["verify", "--rebuild", "oci:out"], *more].concat());
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(
            refused.stdout.contains("request > rustflags: the image was asked for -Copt-level=1 -Clink-arg=-wrapper"),
            "{}",
            refused.stdout
        );
        let told = "the image asks for what no image may ask for: -Clink-arg=-wrapper -Clink-arg=env";
        assert!(refused.stderr.contains(told) && !refused.stderr.contains("Compiling"), "{}", refused.stderr);
    }
    let given = ran(plugin_build(&project.root).args(["verify", "--rebuild", "oci:out"]).env("RUSTFLAGS", flags));
    assert_eq!(given.code, 0, "{}{}", given.stdout, given.stderr);
    // What the sources say themselves, no image asks for.
    project.write(".cargo/config.toml", "[build]\nrustflags = ['-Clink-arg=-wrapper', '-Clink-arg=env']\n");
    let second = ran(plugin_build(&project.root).args(["build", "-q", "-o", "own"]));
    assert_eq!(second.code, 0, "{}", second.stderr);
    let trusted = project.run(&["verify", "--rebuild", "oci:own"]);
    assert_eq!(trusted.code, 0, "{}{}", trusted.stdout, trusted.stderr);
}

#[test]
#[ignore = "slow"]
fn no_flag_hides_in_another() {
    let project = Project::with_table("");
    built(&project, &["-o", "out"]);
    let provider = "registries.own.credential-provider=['cargo:token-from-stdout','sh','-c','touch ran.txt']";
    let asked = [
        ("rustflags", serde_json::json!(["--cfg=x\u{1f}-Clink-arg=-wrapper\u{1f}-Clink-arg=env"]), "-wrapper"),
        ("cargo-args", serde_json::json!(["-Z", format!("--config={provider}")]), "credential-provider"),
        ("cargo-args", serde_json::json!(["-vC.."]), "-vC.."),
        ("profile-keys", serde_json::json!({"codegen-backend": "own.so"}), "codegen-backend"),
    ];
    for (key, value, told) in asked {
        forge(&project, |annotations| {
            let request = annotations["dev.cargo-plugin-build.request"].as_str().unwrap();
            let mut request: Value = serde_json::from_str(request).unwrap();
            request[key] = value.clone();
            annotations["dev.cargo-plugin-build.request"] = request.to_string().into();
        });
        let refused = project.run(&["verify", "--rebuild", "oci:forged"]);
        assert!([1, 3].contains(&refused.code), "{key}: {}{}", refused.stdout, refused.stderr);
        assert!(refused.stderr.contains(told), "{key}: {}", refused.stderr);
        assert!(!refused.stderr.contains("Rebuilding"), "{key}: {}", refused.stderr);
    }
}

#[test]
#[ignore = "needs namespaces"]
fn not_even_a_sandbox_is_built_for_programs_that_would_be_asked_before_it() {
    if !namespaces::are_there() {
        return;
    }
    let project = Project::with_table("");
    let tools = project.root.parent().unwrap().join("tools");
    project.write("../tools/telling", "#!/bin/sh\necho ran >> \"${0%/*}/ran.txt\"\nexec cc \"$@\"\n");
    assert!(Command::new("chmod").arg("+x").arg(tools.join("telling")).status().unwrap().success());
    let with_tools = |args: &[&str]| {
        let mut command = plugin_build(&project.root);
        let path = command.get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap().to_owned();
        command.args(args).env("PATH", format!("{}:{}", path.display(), tools.display()));
        command
    };
    // What an image's provenance holds is compared with the linker's own words.
    let mut build = with_tools(&["build", "-q", "--provenance", "-o", "linked"]);
    let linked = ran(build.env("RUSTFLAGS", "-Clinker=telling"));
    assert_eq!(linked.code, 0, "{}", linked.stderr);
    built(&project, &["-o", "out"]);
    forge(&project, |annotations| {
        let request = annotations["dev.cargo-plugin-build.request"].as_str().unwrap();
        let mut request: Value = serde_json::from_str(request).unwrap();
        request["cargo-args"] = serde_json::json!([format!("--config=build.rustc='{}'", tools.join("telling").display())]);
        annotations["dev.cargo-plugin-build.request"] = request.to_string().into();
    });
    fs::remove_file(tools.join("ran.txt")).unwrap();
    for (image, told) in [("oci:linked", "-Clinker=telling"), ("oci:forged", "--config=build.rustc=")] {
        let refused = ran(&mut with_tools(&["verify", "--rebuild", "--hermetic", image]));
        assert_eq!(refused.code, 3, "{image}: {}{}", refused.stdout, refused.stderr);
        assert!(!tools.join("ran.txt").exists(), "{image}: it ran: {}", refused.stderr);
        let asks = refused.stderr.contains("asks for what no image may ask for");
        assert!(asks && refused.stderr.contains(told), "{image}: {}", refused.stderr);
    }
}

#[test]
#[ignore = "needs namespaces"]
fn settings_of_cargo_are_never_taken_from_an_image() {
    let project = Project::with_table("");
    let setting = "registries.own.credential-provider=['cargo:token-from-stdout','sh','-c','touch ran.txt']";
    let first = ran(plugin_build(&project.root).args(["build", "-q", "-o", "out", "--", "--config", setting]));
    assert_eq!(first.code, 0, "{}", first.stderr);
    let ways = if namespaces::are_there() { &[&[][..], &["--hermetic"]][..] } else { &[&[][..]] };
    for more in ways {
        let refused = ran(plugin_build(&project.root).args(["verify", "--rebuild", "oci:out"]).args(*more));
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(refused.stderr.contains("credential-provider"), "{}", refused.stderr);
        assert!(refused.stderr.contains("give the same flags here"), "{}", refused.stderr);
    }
    let profile = ["build", "-q", "-o", "out", "--", "--config", "profile.release.opt-level=1"];
    assert_eq!(ran(plugin_build(&project.root).args(profile)).code, 0);
    for more in [&["--accept-request"][..], &["--", "--config", "profile.release.opt-level=1"]] {
        let same = project.run(&[&["verify", "--rebuild", "oci:out"], more].concat());
        assert_eq!(same.code, 0, "{}{}", same.stdout, same.stderr);
    }
}
