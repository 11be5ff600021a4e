//! Looking into artifacts.

use std::path::PathBuf;
use std::process::Command;

use crate::hints::hint;
use plugin_build::build::compile::compile;
use plugin_build::build::inspect::bundle::{LibraryPaths, bundle};
use plugin_build::build::inspect::leak::{Origin, Pattern, scan};
use plugin_build::build::inspect::{Format, inspect, start};
use plugin_build::build::manifest::BuildFlags;
use plugin_oci::progress::Silent;
use plugin_oci::values::platform::Platform;

use crate::support::program::{plugin_build, ran};
use crate::support::project::Project;
use crate::support::tools::skip;

/// A program that links dynamically, because its author said so.
fn dynamic() -> (Project, PathBuf) {
    let project = Project::with_table("");
    project.write("src/main.rs", "fn main() { println!(\"alive\"); }\n");
    project.write(".cargo/config.toml", "[build]\nrustflags = ['-Ctarget-feature=-crt-static']\n");
    let path = build(&project);
    (project, path)
}

fn build(project: &Project) -> PathBuf {
    let plan = project.plan(&BuildFlags { quiet: true, ..BuildFlags::default() });
    compile(&plan, &project.env(), &Silent).unwrap().artifacts.remove(0).path
}

#[test]
#[cfg(target_os = "linux")]
fn a_static_program_starts_anywhere_of_its_machine() {
    let project = Project::fixture("greeter");
    let path = build(&project);
    let host = Platform::host();
    let executable = start::check(&path, &host, true).unwrap();
    assert!(executable.is_static() && executable.format == Format::Elf);
    let error = start::check(&path, &Platform::new("linux", "s390x"), true).unwrap_err();
    assert!(error.to_string().contains("platform linux/s390x wants ELF for s390x"), "{error}");
    let error = start::check(&path, &Platform::new("darwin", &host.architecture), true).unwrap_err();
    assert!(error.to_string().contains("wants Mach-O"), "{error}");
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn a_dynamic_program_is_refused_with_what_it_needs_and_three_ways_out() {
    let (_project, path) = dynamic();
    let error = start::check(&path, &Platform::host(), true).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("the loader /lib") && text.contains("libc.so.6"), "{text}");
    let hint = hint(&error).unwrap();
    assert!(["musl", "`base`", "bundle-libs"].iter().all(|way| hint.contains(way)), "{hint}");
    let executable = start::check(&path, &Platform::host(), false).unwrap();
    assert!(executable.glibc.unwrap().starts_with("2."));
}

#[test]
#[ignore = "needs namespaces"]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn a_dynamic_program_starts_with_what_is_bundled_and_nothing_else() {
    let (_project, path) = dynamic();
    let files = bundle(&path, &LibraryPaths::of_system()).unwrap().files;
    assert!(files.iter().any(|file| file.path.ends_with("/libc.so.6")));
    assert!(files.windows(2).all(|pair| pair[0].path < pair[1].path));
    let root = tempfile::tempdir().unwrap();
    for (file, source) in files.iter().map(|file| (&file.path, &file.source)).chain([(&"program".to_owned(), &path)]) {
        let target = root.path().join(file);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(source, target).unwrap();
    }
    // An ordinary user may change root in a user namespace; where the kernel forbids it, the lists above must do.
    let output = Command::new("unshare").args(["--map-root-user", "--root"]).arg(root.path()).arg("/program").output();
    match output {
        Ok(output) if output.status.success() => assert_eq!(output.stdout, b"alive\n"),
        other => skip(&format!("cannot change root here: {other:?}")),
    }
}

#[test]
fn a_manifest_directory_kept_as_text_is_found_with_its_cure() {
    let project = Project::with_table("");
    project.write("src/main.rs", "fn main() { println!(\"{}\", env!(\"CARGO_MANIFEST_DIR\")); }\n");
    let path = build(&project);
    let pattern = Pattern::of(Origin::Workspace, &project.root).unwrap();
    let leaks = scan(&path, &[pattern], &[]).unwrap();
    assert_eq!((leaks.len(), leaks[0].origin), (1, Origin::Workspace));
    assert!(leaks[0].cause().contains("CARGO_MANIFEST_DIR"));
}

#[test]
fn a_clean_program_has_no_leaks() {
    let project = Project::fixture("buildscript");
    let path = build(&project);
    let env = project.env();
    let home = env.path("HOME").unwrap_or_default();
    let patterns: Vec<Pattern> = [
        Pattern::of(Origin::Workspace, &project.root),
        Pattern::of(Origin::Target, &project.root.join("target")),
        Pattern::of(Origin::Home, &home),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert_eq!(scan(&path, &patterns, &[]).unwrap(), []);
}

#[test]
#[cfg(target_os = "linux")]
fn a_library_tells_what_it_exports() {
    let project = Project::fixture("cdylib");
    let executable = inspect(&build(&project)).unwrap();
    assert!(executable.exports.contains(&"checksum_fnv1a".to_owned()), "{:?}", executable.exports);
    assert!(executable.needed.contains(&"libc.so.6".to_owned()));
}

/// A build script writes into its program which loader it wants; that must not carry any file out of this machine.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn a_loader_that_is_no_program_is_not_bundled() {
    let project = Project::with_table("[package.metadata.plugin-build]\nbundle-libs = true\n");
    project.write("../home/key", "s3cret");
    let loader = project.root.parent().unwrap().join("home/key");
    let flag = format!("cargo::rustc-link-arg=-Wl,--dynamic-linker={}", loader.display());
    project.write("build.rs", &format!("fn main() {{ println!(\"{flag}\"); }}\n"));
    let refused = ran(plugin_build(&project.root).args(["build", "-q"]));
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    let told = format!("the loader {} that", loader.display());
    assert!(refused.stderr.contains(&told), "{}", refused.stderr);
}
