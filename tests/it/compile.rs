//! Compiling real fixtures.

use std::fs;

use plugin_build::build::compile::{Artifact, CompileError, compile};
use plugin_build::build::manifest::BuildFlags;
use plugin_oci::progress::Silent;

use crate::support::program::plugin_build;
use crate::support::project::Project;
use crate::support::recorder::Recorder;

fn build(project: &Project, flags: &BuildFlags) -> Result<Vec<Artifact>, CompileError> {
    let flags = BuildFlags { quiet: true, ..flags.clone() };
    Ok(compile(&project.plan(&flags), &project.env(), &Silent)?.artifacts)
}

#[test]
fn the_greeter_becomes_one_static_program() {
    let project = Project::fixture("greeter");
    let artifacts = build(&project, &BuildFlags::default()).unwrap();
    assert_eq!(artifacts.len(), 1);
    let artifact = &artifacts[0];
    assert!(artifact.path.starts_with(project.root.join("target").join(&artifact.target)));
    assert!(!artifact.fresh);
    assert_eq!(&fs::read(&artifact.path).unwrap()[..4], b"\x7fELF");
    assert!(build(&project, &BuildFlags::default()).unwrap()[0].fresh);
}

#[test]
fn two_directories_give_the_same_bytes() {
    let read = |project: &Project| {
        let artifacts = build(project, &BuildFlags::default()).unwrap();
        fs::read(&artifacts[0].path).unwrap()
    };
    let (first, second) = (Project::fixture("buildscript"), Project::fixture("buildscript"));
    assert!(read(&first) == read(&second), "the bytes differ");
}

#[test]
fn programs_and_libraries_take_one_command_each() {
    let project = Project::new(&[
        ("Cargo.toml", "[workspace]\nmembers = ['a', 'b', 'c']\nresolver = '3'\n"),
        ("a/Cargo.toml", "[package]\nname='a'\nversion='0.1.0'\nedition='2024'\n[package.metadata.plugin-build]\n"),
        ("a/src/main.rs", "fn main() {}"),
        ("b/Cargo.toml", "[package]\nname='b'\nversion='0.1.0'\nedition='2024'\n[package.metadata.plugin-build]\n"),
        ("b/src/main.rs", "fn main() {}"),
        (
            "c/Cargo.toml",
            "[package]\nname='c'\nversion='0.1.0'\nedition='2024'\n[lib]\ncrate-type=['cdylib']\n[package.metadata.plugin-build]\n",
        ),
        ("c/src/lib.rs", "#[unsafe(no_mangle)] pub extern \"C\" fn one() -> i32 { 1 }"),
    ]);
    let flags = BuildFlags { quiet: true, ..BuildFlags::default() };
    let plan = project.plan(&flags);
    assert_eq!(plan.invocations.len(), 2);
    let recorder = Recorder::default();
    let artifacts = compile(&plan, &project.env(), &recorder).unwrap().artifacts;
    assert_eq!(recorder.commands().len(), 2);
    let names: Vec<_> = artifacts.iter().map(|a| a.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["a", "b", "libc.so"]);
}

#[test]
fn a_compile_error_adds_no_noise_to_cargos_own() {
    let project = Project::with_table("");
    project.write("src/main.rs", "fn main() { oops }");
    let error = build(&project, &BuildFlags::default()).unwrap_err();
    assert_eq!(error.to_string(), "cargo failed (exit status: 101)");
}

#[test]
fn a_binary_that_cargo_leaves_out_is_an_error() {
    let manifest = "[package]\nname='p'\nversion='0.1.0'\nedition='2024'\n[features]\nf=[]\n[[bin]]\nname='p'\npath='src/main.rs'\n\
                    required-features=['f']\n[workspace]\n";
    let project = Project::new(&[("Cargo.toml", manifest), ("src/main.rs", "fn main() {}")]);
    assert!(matches!(build(&project, &BuildFlags::default()), Err(CompileError::Cargo { .. })));
    let flags = BuildFlags { features: vec!["f".to_owned()], ..BuildFlags::default() };
    assert_eq!(build(&project, &flags).unwrap().len(), 1);
}

#[test]
#[cfg(unix)]
fn a_signal_stops_what_cargo_started_too() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use std::time::Duration;

    let patience = |mut done: Box<dyn FnMut() -> bool>| {
        let mut tries = 0..600;
        tries.any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            done()
        })
    };
    let pid = |id: u32| Pid::from_raw(i32::try_from(id).unwrap());
    let project = Project::with_table("");
    let script = "fn main() { std::fs::write(\"pid\", std::process::id().to_string()).unwrap(); \
                  std::thread::sleep(std::time::Duration::from_secs(120)); }";
    project.write("build.rs", script);
    let mut program = plugin_build(&project.root).arg("--quiet").spawn().unwrap();
    let file = project.root.join("pid");
    let started = file.clone();
    assert!(
        patience(Box::new(move || fs::read_to_string(&started).is_ok_and(|text| !text.is_empty()))),
        "the build script starts"
    );
    let script = pid(fs::read_to_string(&file).unwrap().parse().unwrap());

    kill(pid(program.id()), Signal::SIGTERM).unwrap();
    assert_eq!(program.wait().unwrap().code(), Some(143));
    assert!(patience(Box::new(move || kill(script, None).is_err())), "the build script goes on");
    assert!(!project.root.join("target/plugin-build").exists());
}
