//! Compiling real fixtures.

use std::fs;

use plugin_build::compile::{Artifact, CompileError, compile};
use plugin_build::plugin::BuildFlags;
use plugin_build::progress::Silent;

use crate::support::project::Project;
use crate::support::recorder::Recorder;

fn build(project: &Project, flags: &BuildFlags) -> Result<Vec<Artifact>, CompileError> {
    let flags = BuildFlags { quiet: true, ..flags.clone() };
    compile(&project.plan(&flags), &project.env(), &Silent)
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
    let artifacts = compile(&plan, &project.env(), &recorder).unwrap();
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
