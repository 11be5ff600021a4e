//! Plans: cargo's commands, remaps, flags.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::hints::hint;
use plugin_build::build::compile::compile;
use plugin_build::build::manifest::config::Base;
use plugin_build::build::manifest::{BuildFlags, Builder};
use plugin_build::build::plan::{Plan, PlanError};
use plugin_oci::failure::{Class, Error};
use plugin_oci::progress::Silent;

use crate::support::project::{Project, plan_in};
use crate::support::recorder::Recorder;
use crate::support::tools::require_file;

const HOST: &str = "x86_64-unknown-linux-gnu";

fn flags() -> BuildFlags {
    BuildFlags { quiet: true, ..BuildFlags::default() }
}

fn refused(project: &Project, flags: &BuildFlags, vars: &[(&str, &str)]) -> Error {
    let mut env = project.env();
    for (name, value) in vars {
        env.set(*name, *value);
    }
    plan_in(flags, &env, &Silent).unwrap_err()
}

/// The rustflags that the plan gives on the command line.
fn config_flags(plan: &Plan) -> Vec<String> {
    let config = plan.invocations[0].args.iter().find(|argument| argument.contains(".rustflags=")).unwrap();
    let table: toml::Table = config.parse().unwrap();
    let target = &plan.images[0].targets[0].target;
    let flags = table["target"][target]["rustflags"].as_array().unwrap();
    flags.iter().map(|flag| flag.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_plan_names_everything_that_will_happen() {
    let project = Project::fixture("greeter");
    let plan = project.plan(&BuildFlags::default());
    let image = &plan.images[0];
    assert_eq!((image.name.as_str(), image.version.as_str()), ("greeter", "0.3.1"));
    assert_eq!(image.tags, ["0.3.1".parse().unwrap()]);
    assert_eq!(image.output, project.root.join("target/plugin-build/greeter"));
    let files: Vec<_> = image.files.iter().map(|file| (file.path.as_str(), file.mode)).collect();
    assert_eq!(files, [("share/greeting.txt", 0o644), ("share/locale/fr/greeting.txt", 0o644)]);
    assert_eq!(image.targets[0].place.entrypoint, ["/greeter"]);
    assert_eq!(image.annotations["org.opencontainers.image.authors"], "Greeter Authors <greeter@plugins.example>, Ana Example");
    assert_eq!(plan.epoch.seconds(), 0);
    assert!(serde_json::to_string(&plan).unwrap().contains("\"invocations\""));
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
fn cargo_is_driven_with_explicit_targets_and_every_path_hidden() {
    let project = Project::fixture("options");
    let mut env = project.env();
    env.set("CARGO_HOME", "/cargo-home");
    env.set("CFLAGS", "-O1");
    env.set("CFLAGS_x86_64_unknown_linux_gnu", "-O2");
    let wanted = BuildFlags {
        features: vec!["whisper shout".to_owned()],
        no_default_features: true,
        locked: true,
        jobs: Some("1".to_owned()),
        cargo_args: vec!["--ignore-rust-version".to_owned()],
        ..flags()
    };
    let recorder = Recorder::default();
    let plan = plan_in(&wanted, &env, &recorder).unwrap();
    assert_eq!(plan.invocations.len(), 1);
    let invocation = &plan.invocations[0];
    let args: Vec<&str> =
        invocation.args.iter().map(String::as_str).filter(|argument| !argument.contains(".rustflags=")).collect();
    let expected = "build --message-format=json-render-diagnostics --package options --bin options --profile release \
                    --features shout,whisper --no-default-features --target x86_64-unknown-linux-gnu --config --locked --jobs 1 \
                    --quiet --ignore-rust-version";
    assert_eq!(args.join(" "), expected);
    let root = project.root.display().to_string();
    let hidden: Vec<String> = config_flags(&plan).iter().map(|flag| flag.replace(&root, "[root]")).collect();
    for flag in [
        "--remap-path-prefix=[root]=/ws",
        "--remap-path-prefix=/cargo-home=/cargo",
        "--remap-path-prefix=[root]/target=/ws/target",
        "--remap-path-scope=object",
        "-Ctarget-feature=+crt-static",
    ] {
        assert!(hidden.iter().any(|known| known == flag), "{flag} is not in {hidden:?}");
    }
    let position = |flag: &str| hidden.iter().position(|known| known.ends_with(flag));
    assert!(position("=/ws") < position("=/ws/target"), "the last match wins");
    assert_eq!(invocation.env["CARGO_INCREMENTAL"], "0");
    assert_eq!(invocation.env["SOURCE_DATE_EPOCH"], "0");
    let map = format!("-ffile-prefix-map={root}=/ws");
    for (variable, own) in [("CFLAGS", "-O1 "), ("CFLAGS_x86_64_unknown_linux_gnu", "-O2 "), ("CXXFLAGS", "")] {
        let value = &invocation.env[variable];
        assert!(value.starts_with(own) && value.contains(&map), "{variable}={value}");
    }
    let notes = recorder.texts();
    assert_eq!(notes.iter().filter(|text| text.contains("links this machine's libc")).count(), 1, "{notes:?}");
}

/// A program that tells which of the user's flags reached it.
fn teller() -> Project {
    let project = Project::with_table("[lints.rust]\nunexpected_cfgs = 'allow'\n");
    project.write(
        "src/main.rs",
        "fn main() { println!(\"{} {} {}\", cfg!(one), cfg!(two), cfg!(target_feature = \"crt-static\")) }",
    );
    project
}

fn told(project: &Project, vars: &[(&str, &str)], flags: &BuildFlags) -> String {
    let mut env = project.env();
    for (name, value) in vars {
        env.set(*name, *value);
    }
    let plan = plan_in(flags, &env, &Silent).unwrap();
    let artifacts = compile(&plan, &env, &Silent).unwrap().artifacts;
    String::from_utf8(Command::new(&artifacts[0].path).output().unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
#[ignore = "slow"]
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
fn the_users_rustflags_survive_wherever_they_are_kept() {
    let project = teller();
    assert_eq!(told(&project, &[], &flags()), "false false true");
    project.write(".cargo/config.toml", "[build]\nrustflags = ['--cfg', 'one']\n");
    assert_eq!(told(&project, &[], &flags()), "true false true");
    project.write(".cargo/config.toml", "[target.'cfg(unix)']\nrustflags = '--cfg one'\n");
    assert_eq!(told(&project, &[("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "--cfg two")], &flags()), "true true true");
    assert_eq!(told(&project, &[("RUSTFLAGS", "--cfg two")], &flags()), "false true true");
    assert_eq!(told(&project, &[("CARGO_ENCODED_RUSTFLAGS", "--cfg\u{1f}two")], &flags()), "false true true");
    project.write(".cargo/more.toml", "[build]\nrustflags = ['--cfg', 'one']\n");
    project.write(".cargo/config.toml", "include = ['more.toml']\n");
    assert_eq!(told(&project, &[], &flags()), "true false true");
    let argument = BuildFlags { cargo_args: vec!["--config".into(), "build.rustflags=['--cfg','two']".into()], ..flags() };
    assert_eq!(told(&project, &[], &argument), "true true true");
}

#[test]
fn rustflags_of_the_environment_give_each_target_its_own_flags() {
    let project = teller();
    let mut env = project.env();
    env.set("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld");
    let targets = vec![HOST.to_owned(), "aarch64-unknown-linux-musl".to_owned()];
    // The standard library of the second target need not be there.
    let flags = BuildFlags { targets, cargo_args: vec!["-Zbuild-std".into()], ..flags() };
    let told = |plan: &Plan| -> Vec<(Vec<String>, bool)> {
        let one = |invocation: &plugin_build::build::plan::invocation::Invocation| {
            let pairs = invocation.args.windows(2).filter(|pair| pair[0] == "--target");
            let text = serde_json::to_string(invocation).unwrap();
            (pairs.map(|pair| pair[1].clone()).collect(), text.contains("+crt-static"))
        };
        plan.invocations.iter().map(one).collect()
    };
    assert_eq!(told(&plan_in(&flags, &env, &Silent).unwrap()), [(flags.targets.clone(), true)]);
    env.set("RUSTFLAGS", "--cfg one");
    let apart = [(vec![flags.targets[1].clone()], false), (vec![flags.targets[0].clone()], true)];
    let mut found = told(&plan_in(&flags, &env, &Silent).unwrap());
    found.sort();
    assert_eq!(found, apart);
}

#[test]
#[cfg(unix)]
fn the_compiler_is_the_one_that_cargo_finds() {
    let project = teller();
    let mut env = project.env();
    let own = Path::new(env.os("CARGO").unwrap()).with_file_name("rustc");
    let script = format!("#!/bin/sh\n'{}' \"$@\" | sed 's/^release: .*/release: 1.99.0/'\n", own.display());
    project.write("tools/rustc", &script);
    make_executable(&project.root.join("tools/rustc"));
    let path = env.os("PATH").unwrap().to_str().unwrap().to_owned();
    env.set("PATH", format!("{}:{path}", project.root.join("tools").display()));
    assert_eq!(plan_in(&flags(), &env, &Silent).unwrap().rustc.release.to_string(), "1.99.0");
}

#[test]
fn what_says_how_to_reach_the_network_is_not_recorded() {
    let project = teller();
    let proxy = "http.proxy='http://me:s3cret@proxy.example'";
    let words = ["--config", proxy, &format!("--config={proxy}"), "--config", "profile.release.opt-level=1"];
    let flags = BuildFlags { cargo_args: words.map(str::to_owned).to_vec(), ..flags() };
    let plan = plan_in(&flags, &project.env(), &Silent).unwrap();
    let request: serde_json::Value = serde_json::from_str(&plan.images[0].targets[0].request).unwrap();
    assert_eq!(request["cargo-args"], serde_json::json!(["--config", "profile.release.opt-level=1"]));
    assert!(plan.invocations[0].args.iter().any(|argument| argument == proxy));
}

#[test]
fn what_was_asked_of_cargo_is_recorded_without_paths() {
    let project = teller();
    let root = project.root.display().to_string();
    project.write(
        ".cargo/config.toml",
        &format!("[build]\nrustflags = ['--cfg', 'one', '-L{root}/native']\n[profile.release]\nlto = true\n"),
    );
    let mut env = project.env();
    env.set("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    let plan = plan_in(&flags(), &env, &Silent).unwrap();
    let target = &plan.images[0].targets[0];
    let request = target.request.replace(&target.target, "[target]");
    assert_eq!(
        request,
        r#"{"bin":"p","builder":"cargo","not-rebuildable":true,"package":"p","profile":"release","profile-keys":{"lto":true,"strip":"symbols"},"rustflags":["--cfg","one","-L/ws/native"],"target":"[target]"}"#
    );
    assert!(!target.rebuildable);
}

#[test]
fn a_missing_standard_library_is_told_with_the_command_that_installs_it() {
    let project = Project::with_table("");
    let with = |target: &str| BuildFlags { targets: vec![target.to_owned()], ..flags() };
    let error = refused(&project, &with("s390x-unknown-linux-gnu"), &[]);
    assert!(error.to_string().starts_with("target `s390x-unknown-linux-gnu` is not installed"), "{error}");
    assert!(hint(error.inner()).unwrap().contains("rustup target add s390x-unknown-linux-gnu"), "{:?}", hint(error.inner()));
}

#[test]
fn a_target_that_rustc_does_not_know_is_a_mistake_of_the_caller() {
    let project = Project::with_table("");
    let flags = BuildFlags { targets: vec!["x86_64-unknown-linux-glibc".to_owned()], ..flags() };
    let error = refused(&project, &flags, &[]);
    assert_eq!(error.to_string(), "target `x86_64-unknown-linux-glibc` is none that rustc knows");
    assert!(hint(error.inner()).unwrap().starts_with("did you mean `x86_64-unknown-linux-"), "{:?}", hint(error.inner()));
    assert_eq!(error.class(), Class::Usage);
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
fn a_missing_linker_is_told_before_compiling() {
    let project = Project::with_table("");
    let error = refused(&project, &flags(), &[("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER", "x86_64-none-gcc")]);
    assert_eq!(error.to_string(), format!("target `{HOST}` cannot be linked: its linker `x86_64-none-gcc` is not there"));
    assert_eq!(hint(error.inner()).as_deref(), Some("apt-get install gcc-x86-64-none"));
}

/// A plan with the builder `zigbuild`, of which only the name is there.
fn zigbuild(table: &str, target: &str) -> Result<plugin_build::build::plan::Plan, Error> {
    let project = Project::with_table(table);
    let wanted = BuildFlags { builder: Builder::Zigbuild, targets: vec![target.to_owned()], ..flags() };
    let mut env = project.env();
    let workspace = plugin_build::build::manifest::load(&wanted, &env, &Silent).unwrap();
    let bin = project.root.join("bin");
    std::fs::create_dir(&bin).unwrap();
    env.set("PATH", bin.as_os_str());
    let error = plugin_build::build::plan::plan(&workspace, &wanted, &env, &Silent).unwrap_err();
    assert!(error.to_string().contains("cargo-zigbuild"), "{error}");
    project.write("bin/cargo-zigbuild", "");
    make_executable(&bin.join("cargo-zigbuild"));
    plugin_build::build::plan::plan(&workspace, &wanted, &env, &Silent)
}

const BUNDLED: &str = "[package.metadata.plugin-build]\nbundle-libs = true\n";

#[test]
fn zigbuild_is_asked_for_by_its_own_install_command() {
    let plan = zigbuild(BUNDLED, HOST).unwrap();
    assert_eq!(plan.invocations[0].args[0], "zigbuild");
    assert!(plan.images[0].targets[0].request.contains(r#""builder":"zigbuild""#));
}

#[test]
fn zigbuild_takes_the_oldest_glibc_to_run_on() {
    let target = format!("{HOST}.2.17");
    let plan = zigbuild(BUNDLED, &target).unwrap();
    let args = plan.invocations[0].args.join(" ");
    assert!(args.contains(&format!("--target {target}")), "{args}");
    assert!(args.contains(&format!("--config target.{HOST}.rustflags=")), "cargo knows the target by its plain name: {args}");
    assert!(plan.images[0].targets[0].request.contains(&format!(r#""target":"{target}""#)));
    let error = refused(&Project::with_table(""), &BuildFlags { targets: vec![target], ..flags() }, &[]);
    assert_eq!(error.class(), Class::Usage);
    assert!(hint(error.inner()).unwrap().contains("--builder zigbuild"), "{error} {:?}", hint(error.inner()));
}

#[test]
fn a_program_that_zig_cannot_link_statically_is_told_before_compiling() {
    let error = zigbuild("", HOST).unwrap_err();
    assert_eq!(error.class(), Class::Usage);
    assert!(error.to_string().contains("zig links glibc dynamically only"), "{error}");
    assert!(hint(error.inner()).unwrap().contains("x86_64-unknown-linux-musl"), "{:?}", hint(error.inner()));
}

/// The same for a linker that is missing: zig is named where it is a way out.
#[test]
#[ignore = "needs Debian's compiler"]
fn zig_is_offered_where_it_could_link() {
    if !require_file("/usr/lib/rustlib/aarch64-unknown-linux-gnu/lib") {
        return;
    }
    let hint = |table: &str| {
        let project = Project::with_table(table);
        let wanted = BuildFlags { targets: vec!["aarch64-unknown-linux-gnu".to_owned()], ..flags() };
        hint(refused(&project, &wanted, &[("CARGO", "/usr/bin/cargo"), ("RUSTC", "/usr/bin/rustc")]).inner()).unwrap()
    };
    assert!(hint(BUNDLED).ends_with("=aarch64-linux-gnu-gcc, or use `--builder zigbuild`"), "{}", hint(BUNDLED));
    assert!(hint("").ends_with("=aarch64-linux-gnu-gcc"), "{}", hint(""));
}

#[cfg(unix)]
fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[cfg(not(unix))]
fn make_executable(_path: &Path) {}

#[test]
fn only_a_date_is_a_source_date_epoch() {
    let project = Project::with_table("");
    for bad in ["abc", "-1", "", "9223372036854775808"] {
        let error = refused(&project, &flags(), &[("SOURCE_DATE_EPOCH", bad)]);
        assert_eq!(error.class(), Class::Usage, "{bad}");
    }
    let mut env = project.env();
    env.set("SOURCE_DATE_EPOCH", "1700000000");
    let plan = plan_in(&flags(), &env, &Silent).unwrap();
    assert_eq!(plan.invocations[0].env["SOURCE_DATE_EPOCH"], "1700000000");
}

#[test]
fn a_platform_means_a_static_target_for_a_program_without_a_base() {
    let project = Project::with_table("");
    let with = BuildFlags { platforms: vec!["linux/amd64".parse().unwrap()], ..flags() };
    let targets = |flags: &BuildFlags| project.load(flags).unwrap().plugins.remove(0).targets;
    assert_eq!(targets(&with), ["x86_64-unknown-linux-musl"]);
    assert_eq!(targets(&BuildFlags { base: Some(Base::All("oci:base:1".to_owned())), ..with }), ["x86_64-unknown-linux-gnu"]);
    let unknown = BuildFlags { platforms: vec!["plan9/amd64".parse().unwrap()], ..flags() };
    let error = project.load(&unknown).unwrap_err();
    assert!(hint(error.inner()).unwrap().contains("linux/amd64"), "{error}");
}

#[test]
fn tags_and_outputs_are_checked_before_compiling() {
    let options = Project::fixture("options");
    assert_eq!(options.plan(&flags()).images[0].tags, ["2.0.0-rc.1_build.5".parse().unwrap()]);
    let bad = BuildFlags { output: Some("a:b".into()), ..flags() };
    assert_eq!(refused(&options, &bad, &[]).class(), Class::Usage);
    let trio = Project::fixture("trio");
    let plan = trio.plan(&BuildFlags { output: Some("out".into()), ..flags() });
    let outputs: Vec<_> = plan.images.iter().map(|image| image.output.strip_prefix(&trio.root).unwrap().to_owned()).collect();
    assert_eq!(outputs, ["out/alpha", "out/beta", "out/gamma"].map(std::path::PathBuf::from));
}

#[test]
fn a_base_by_tag_is_refused_when_everything_is_locked() {
    let project = Project::with_table("");
    let wanted = BuildFlags { base: Some(Base::All("docker://registry.example/a:1".to_owned())), locked: true, ..flags() };
    project.write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"p\"\nversion = \"0.1.0\"\n");
    let error = refused(&project, &wanted, &[]);
    assert!(error.is(|error| matches!(error, PlanError::UnpinnedBase(_))), "{error}");
}

#[test]
fn hazards_are_told_before_compiling() {
    let project = Project::with_table("[dependencies]\noutside = { path = '../outside' }\n");
    project.write("../outside/Cargo.toml", "[package]\nname = 'outside'\nversion = '0.1.0'\nedition = '2024'\n");
    project.write("../outside/src/lib.rs", "");
    let mut env = project.env();
    env.set("RUSTC_WORKSPACE_WRAPPER", "wrapper");
    env.remove("CARGO_TARGET_DIR");
    let recorder = Recorder::default();
    let workspace = plugin_build::build::manifest::load(&flags(), &project.env(), &recorder).unwrap();
    let plan = plugin_build::build::plan::plan(&workspace, &flags(), &env, &recorder).unwrap();
    let texts = recorder.texts().join("\n");
    assert!(texts.contains("outside lies outside the workspace") && texts.contains("workspace wrapper wrapper"), "{texts}");
    assert!(plan.remaps.iter().any(|remap| remap.to == "/cargo/path/outside-0.1.0"));
    // Cargo's hash of where it lies stands in the names of split files, and those in the program.
    for (split, is_told) in [("packed", true), ("unpacked", true), ("off", false)] {
        let manifest = fs::read_to_string(project.root.join("Cargo.toml")).unwrap();
        let manifest = manifest.split("[profile").next().unwrap();
        project.write("Cargo.toml", &format!("{manifest}[profile.release]\nsplit-debuginfo = '{split}'\n"));
        env.program = std::env::current_exe().ok();
        let recorder = Recorder::default();
        plugin_build::build::plan::plan(&project.load(&flags()).unwrap(), &flags(), &env, &recorder).unwrap();
        let texts = recorder.texts().join("\n");
        assert_eq!(texts.contains(&format!("split-debuginfo is `{split}`")), is_told, "{texts}");
        assert!(!texts.contains("its absolute path enters"), "{texts}");
    }
}
