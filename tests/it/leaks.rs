//! What is known to make bytes differ from place to place and from time to time: each is named, with its cure.

use std::ffi::OsString;
use std::fs;

use plugin_oci::fs::{sorted_listing, stamps};

use crate::support::git::git_dependency;
use crate::support::program::{Ran, plugin_build, ran};
use crate::support::project::Project;
use crate::support::second_compiler;

/// The warning that holds `text`, and the line of help after it.
fn warning(ran: &Ran, text: &str) -> Option<(String, String)> {
    let mut lines = ran.stderr.lines().skip_while(|line| !(line.starts_with("warning: ") && line.contains(text)));
    let found = lines.next()?.to_owned();
    Some((found, lines.next().filter(|line| line.starts_with("help: ")).unwrap_or_default().to_owned()))
}

/// Asserts a warning that names all of these, and a cure.
fn warned(ran: &Ran, text: &str, names: &[&str], cure: &str) {
    let (found, help) = warning(ran, text).unwrap_or_else(|| panic!("no warning of {text}:\n{}", ran.stderr));
    assert!(names.iter().all(|name| found.contains(name)), "{found} does not name {names:?}");
    assert!(help.contains(cure), "{found}\n{help} does not say {cure}");
}

#[test]
fn a_manifest_directory_kept_as_text() {
    let project = Project::with_table("");
    project.write("src/main.rs", "fn main() { println!(\"{}\", env!(\"CARGO_MANIFEST_DIR\")); }\n");
    let root = project.root.display().to_string();
    let built = project.done(&["build"]);
    let artifact = "/release/p holds a path of this machine: ";
    warned(&built, artifact, &[&root, "at offset "], "env!(\"CARGO_MANIFEST_DIR\")");
    project.write("src/main.rs", "fn main() { println!(\"clean\"); }\n");
    let ran = ran(plugin_build(&project.root).env(stamps::VARIABLE, "-1"));
    assert_eq!(warning(&ran, ""), None, "a clean program has no warnings");
    let hints = project.root.join("target/plugin-build/.hints");
    let facts = |file: OsString| fs::read_to_string(hints.join(file)).unwrap();
    assert!(sorted_listing(&hints).unwrap().into_iter().map(facts).any(|facts| facts.contains("\"none\"")));
    project.write("src/main.rs", "fn main() { println!(\"{}\", env!(\"CARGO_MANIFEST_DIR\")); }\n");
    warned(&project.done(&["build"]), artifact, &[&root], "env!(\"CARGO_MANIFEST_DIR\")");
}

#[test]
fn a_path_dependency_outside_the_workspace_and_what_it_keeps() {
    let project = Project::with_table("[dependencies]\nq = { path = '../q' }\n");
    project.write("../q/Cargo.toml", "[package]\nname = 'q'\nversion = '0.1.0'\nedition = '2024'\n");
    project.write("../q/src/lib.rs", "pub fn q() -> &'static str { env!(\"CARGO_MANIFEST_DIR\") }\n");
    project.write("src/main.rs", "fn main() { println!(\"{}\", q::q()); }\n");
    let q = project.root.with_file_name("q").display().to_string();
    let built = project.done(&["build"]);
    warned(&built, "holds a path of this machine: ", &[&q], "env!(\"CARGO_MANIFEST_DIR\")");
}

#[test]
fn a_package_from_git_that_keeps_its_directory() {
    let project = Project::with_table("");
    let repository = git_dependency(&project.root.with_file_name("orbit"));
    let manifest = fs::read_to_string(project.root.join("Cargo.toml")).unwrap();
    project.write("Cargo.toml", &format!("{manifest}[dependencies]\norbit = {{ git = '{repository}' }}\n"));
    project.write("src/main.rs", "fn main() { println!(\"{}\", orbit::place(1)); }\n");
    let home = project.root.with_file_name("cargo");
    let built = ran(plugin_build(&project.root).arg("build").env("CARGO_HOME", &home));
    assert_eq!((built.code, warning(&built, "")), (0, None), "file!() is hidden: {}", built.stderr);
}

#[test]
fn a_build_script_that_reads_the_clock() {
    let project = Project::with_table("");
    let script = "fn main() {\n    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();\n    \
                  KEEP\n}\n";
    let variable = "println!(\"cargo::rustc-env=BUILT_AT={}\", now.as_secs());";
    project.write("build.rs", &script.replace("KEEP", variable));
    let seconds = |ran: &Ran| warned(ran, "the build script of p reads the clock", &["variable BUILT_AT"], "SOURCE_DATE_EPOCH");
    seconds(&project.done(&["build"]));
    seconds(&project.done(&["build"]));
    let file = "std::fs::write(std::env::var(\"OUT_DIR\").unwrap() + \"/at.rs\", format!(\"const AT: u128 = {};\", now.as_nanos())).unwrap();";
    project.write("build.rs", &script.replace("KEEP", file));
    warned(&project.done(&["build"]), "the build script of p reads the clock", &["at.rs"], "SOURCE_DATE_EPOCH");
    let reading =
        "println!(\"cargo::rustc-env=BUILT_AT={}{}\", std::env::var(\"SOURCE_DATE_EPOCH\").unwrap(), now.as_secs() > 1);";
    project.write("build.rs", &script.replace("KEEP", reading));
    assert_eq!(warning(&project.done(&["build"]), ""), None);
}

#[test]
fn a_seed_drawn_at_compile_time() {
    let project = Project::with_table("");
    let manifest = fs::read_to_string(project.root.join("Cargo.toml")).unwrap();
    project.write("Cargo.toml", &format!("{manifest}[dependencies]\nconst-random = {{ path = 'const-random' }}\n"));
    project.write("const-random/Cargo.toml", "[package]\nname='const-random'\nversion='0.1.18'\nedition='2024'\n");
    project.write("const-random/src/lib.rs", "");
    let cure = "CONST_RANDOM_SEED";
    // The first build makes the lock file that tells.
    project.done(&["build"]);
    warned(&project.done(&["build"]), "const-random draws a new seed", &[], cure);
    let seeded = ran(plugin_build(&project.root).arg("build").env("CONST_RANDOM_SEED", "1"));
    assert_eq!((seeded.code, warning(&seeded, "")), (0, None), "{}", seeded.stderr);
    project.write(".cargo/config.toml", "[env]\nCONST_RANDOM_SEED = '1'\n");
    assert_eq!(warning(&project.done(&["build"]), ""), None);
}

#[test]
#[ignore = "slow"]
fn c_code_that_was_compiled_without_our_flags() {
    let project = Project::with_table("");
    project.write("src/place.c", "const char *place(void) { return __FILE__; }\n");
    let main = "unsafe extern \"C\" { fn place() -> *const std::ffi::c_char; }\n\
                fn main() { println!(\"{:?}\", unsafe { std::ffi::CStr::from_ptr(place()) }); }\n";
    project.write("src/main.rs", main);
    let script = "use std::{env::var, process::Command};\nfn main() {\n    let (out, dir) = (var(\"OUT_DIR\").unwrap(), var(\"CARGO_MANIFEST_DIR\").unwrap());\n    \
                  let flags = FLAGS;\n    \
                  let object = format!(\"{out}/place.o\");\n    \
                  assert!(Command::new(\"cc\").args(flags.split(' ').filter(|flag| !flag.is_empty())).args([\"-c\", \"-o\", &object]).arg(format!(\"{dir}/src/place.c\")).status().unwrap().success());\n    \
                  assert!(Command::new(\"ar\").args([\"crs\", &format!(\"{out}/libplace.a\"), &object]).status().unwrap().success());\n    \
                  println!(\"cargo::rustc-link-search={out}\\ncargo::rustc-link-lib=static=place\");\n}\n";
    project.write("build.rs", &script.replace("FLAGS", "String::new()"));
    let source = project.root.join("src/place.c").display().to_string();
    warned(&project.done(&["build"]), "holds a path of this machine: ", &[&source], "CFLAGS");
    project.write("build.rs", &script.replace("FLAGS", "var(\"CFLAGS\").unwrap()"));
    assert_eq!(warning(&project.done(&["build"]), ""), None, "with our flags it is hidden");
}

#[test]
fn a_directory_of_products_kept_as_text() {
    let project = Project::with_table("");
    project.write("build.rs", "fn main() {}\n");
    project.write("src/main.rs", "fn main() { println!(\"{}\", env!(\"OUT_DIR\")); }\n");
    let built = project.done(&["build"]);
    warned(&built, "holds a path of this machine: ", &["/target/"], "env!(\"OUT_DIR\")");
}

#[test]
fn the_standard_librarys_sources_kept_as_text() {
    let project = Project::with_table("");
    let sysroot = crate::support::tools::stdout(std::process::Command::new("rustc").args(["--print", "sysroot"]));
    let source = format!("{}/lib/rustlib/src/rust/library/std/src/lib.rs", sysroot.trim());
    project.write("src/main.rs", &format!("fn main() {{ println!(\"{source}\"); }}\n"));
    warned(&project.done(&["build"]), "holds a path of this machine: ", &[&source], "rustup component remove rust-src");
}

#[test]
#[ignore = "needs Debian's compiler"]
fn what_the_compiler_itself_calls_its_sources_is_no_path_of_this_machine() {
    if !second_compiler::available(&[]) {
        return;
    }
    // Debian's standard library was compiled to name the directory where Debian's package of its sources puts them.
    let project = Project::with_table("");
    let built = ran(second_compiler::second(&project.root).arg("build"));
    assert_eq!((built.code, warning(&built, "holds a path of this machine")), (0, None), "{}", built.stderr);
}
