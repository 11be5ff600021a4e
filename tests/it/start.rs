//! Whether a program can start in its image is decided before anything is packed: through the program, and its three ways
//! out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use plugin_build::build::inspect::bundle::{LibraryPaths, bundle};

use crate::support::elf::elf;
use crate::support::layouts::HandLayout;
use crate::support::packed::Packed;
use crate::support::program::{Ran, ok, plugin_build, ran, run};
use crate::support::project::{Project, copy};
use crate::support::tools::{self, require};

const MAIN: &str = "fn main() { println!(\"started\"); }\n";

/// Builds a program that wants its loader and libraries at hand.
fn dynamic(project: &Project, args: &[&str]) -> Command {
    let mut build = plugin_build(&project.root);
    build.arg("build").args(args).env("RUSTFLAGS", "-Ctarget-feature=-crt-static");
    build
}

#[test]
fn a_dynamic_program_in_an_empty_image_is_refused_with_three_ways_out() {
    let project = Project::with_table("[package.metadata.plugin-build]\n");
    project.write("src/main.rs", MAIN);
    let refused = ran(&mut dynamic(&project, &[]));
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{}", refused.stderr);
    for named in ["/release/p cannot start", "the loader /lib64/ld-linux-x86-64.so.2", "libgcc_s.so.1", "libc.so.6"] {
        assert!(refused.stderr.contains(named), "{} does not name {named}", refused.stderr);
    }
    for way in ["link it statically", "build on a `base`", "`bundle-libs = true`"] {
        assert!(refused.stderr.contains(way), "{} does not offer {way}", refused.stderr);
    }
    assert!(!project.root.join("target/plugin-build").exists(), "something was packed");

    // The first way.
    ok(plugin_build(&project.root).args(["build", "-q"]));
    // The second.
    let program = std::env::current_exe().unwrap();
    let base = write_base(&project, &[needs_of(&program)]);
    ok(&mut dynamic(&project, &["-q", "--base", &base, "-o", "on-base"]));
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn a_program_that_looks_up_names_brings_the_modules_and_their_settings() {
    let project = Project::with_table("[package.metadata.plugin-build]\nbundle-libs = true\n");
    let main = "fn main() { println!(\"{:?}\", std::net::ToSocketAddrs::to_socket_addrs(\"localhost:1\").is_ok()); }\n";
    project.write("src/main.rs", main);
    ok(&mut dynamic(&project, &["-q", "-o", "out"]));
    let image = project.inspected("oci:out");
    let libraries = image["platforms"][0]["layers"][0]["files"].as_array().unwrap();
    for name in ["libnss_files.so.2", "libnss_dns.so.2", "etc/nsswitch.conf"] {
        assert!(libraries.iter().any(|file| file["path"].as_str().unwrap().ends_with(name)), "{name}: {libraries:?}");
    }
    ok(plugin_build(&project.root).args(["verify", "oci:out"]));
}

/// Paths, modes and contents of a layer; one without a mode is a device node.
type Files = Vec<(String, Option<u32>, Vec<u8>)>;

fn tar(files: &Files) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, mode, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(mode.unwrap_or(0o666));
        header.set_entry_type(if mode.is_some() { tar::EntryType::Regular } else { tar::EntryType::Char });
        header.set_size(content.len() as u64);
        header.set_mtime(0);
        tar.append_data(&mut header, path, content.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A base of these layers in the project; its reference.
fn write_base(project: &Project, layers: &[Files]) -> String {
    let mut base = HandLayout::new(&project.root.join("base"));
    let tars: Vec<Vec<u8>> = layers.iter().map(tar).collect();
    let image = base.image("linux/amd64", &tars, plugin_oci::values::compression::Compression::Gzip);
    let index = base.index(&[image], &serde_json::json!({}));
    base.tag("1", index);
    "oci:base:1".to_owned()
}

/// Loader and libraries of a program, as this system has them.
fn needs_of(program: &Path) -> Files {
    let files = bundle(program, &LibraryPaths::of_system()).unwrap().files;
    files.into_iter().map(|file| (file.path, Some(file.mode), fs::read(file.source).unwrap())).collect()
}

/// A project whose program tells which libraries it has loaded, compiled once.
fn telling() -> (Project, PathBuf) {
    let project = Project::with_table("[package.metadata.plugin-build]\n");
    project.write("src/main.rs", "fn main() { print!(\"{}\", std::fs::read_to_string(\"/proc/self/maps\").unwrap()); }\n");
    let program = std::env::current_exe().unwrap();
    (project, program)
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
fn a_dynamic_program_runs_with_the_loader_and_libraries_of_its_base() {
    let (project, program) = telling();
    let base = write_base(&project, &[needs_of(&program)]);
    ok(&mut dynamic(&project, &["-q", "--base", &base, "-o", "out", "-t", "1"]));
    let verified = ran(plugin_build(&project.root).args(["verify", "oci:out"]));
    assert!(!verified.stdout.contains("[start-"), "{}", verified.stdout);
    let mut run = plugin_build(&project.root);
    let told = ok(run.args(["run", "--cache-dir", "cache", "oci:out:1"]));
    let files: Vec<&str> = told.stdout.lines().filter_map(|line| line.split_once('/').map(|(_, path)| path)).collect();
    let cache = project.root.join("cache");
    assert!(files.iter().any(|path| path.ends_with("libc.so.6")), "{files:?}");
    for file in files {
        assert!(Path::new("/").join(file).starts_with(cache.canonicalize().unwrap()), "{file} is not the image's");
    }
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
fn what_lacks_in_a_base_is_named_with_the_layer_that_would_have_it() {
    let (project, program) = telling();
    let all = needs_of(&program);
    let is = |name: &'static str| move |(path, _, _): &&(String, Option<u32>, Vec<u8>)| path.ends_with(name);
    let without = |name: &'static str| -> Files { all.iter().filter(|file| !is(name)(file)).cloned().collect() };
    let libgcc = all.iter().find(is("libgcc_s.so.1")).unwrap();
    let whiteout = libgcc.0.replace("libgcc_s", ".wh.libgcc_s");
    let elsewhere = vec![("opt/libgcc_s.so.1".to_owned(), Some(0o644), libgcc.2.clone())];
    for (layers, told) in [
        (vec![], "it has no loader /lib64/ld-linux-x86-64.so.2"),
        (vec![without("ld-linux-x86-64.so.2")], "it has no loader /lib64/ld-linux-x86-64.so.2"),
        (vec![without("libgcc_s.so.1")], "no library libgcc_s.so.1, which /p needs: no layer has it"),
        (vec![without("libgcc_s.so.1"), elsewhere], "needs: layer 2 has /opt/libgcc_s.so.1, where nothing looks for it"),
        (vec![all.clone(), vec![(whiteout, Some(0o644), Vec::new())]], "libgcc_s.so.1, and layer 2 takes it away"),
    ] {
        let base = write_base(&project, &layers);
        let refused = ran(&mut dynamic(&project, &["-q", "--base", &base, "-o", "out"]));
        assert_eq!(refused.code, 1, "{told}: {}", refused.stderr);
        assert!(refused.stderr.contains(told) && refused.stderr.contains("`bundle-libs = true`"), "{told}: {}", refused.stderr);
        assert!(!project.root.join("out").exists(), "something was written");
    }
}

/// Compiles C with the system's compiler.
fn gcc(dir: &Path, source: &str, args: &[&str]) -> bool {
    let Some(gcc) = require("gcc") else { return false };
    fs::write(dir.join("s.c"), source).unwrap();
    tools::stdout(Command::new(gcc).current_dir(dir).arg("s.c").args(args));
    true
}

/// An image of another tool with these files that starts `/app`; what `verify` says of it.
fn verified(files: &Files, env: &[(&str, &str)]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let mut packed = Packed { kind: None, ..Packed::new("executable", "/app") };
    packed.settings.execution.env = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    for (path, mode, content) in files {
        packed = packed.file(path, mode.unwrap(), content.clone());
    }
    let image = packed.write(dir.path());
    ran(plugin_build(dir.path()).args(["verify", &image]))
}

#[test]
#[ignore = "needs gcc"]
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
fn an_image_of_another_tool_is_held_to_what_its_program_needs() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| fs::read(dir.path().join(name)).unwrap();
    let versions = |names: &str| fs::write(dir.path().join("map"), names).unwrap();
    let shared = ["-shared", "-fPIC", "-Wl,-soname,libdeep.so.1", "-Wl,--version-script=map", "-o"];
    versions("DEEP_1 { global: old; local: *; };");
    if !gcc(dir.path(), "int old(void) { return 1; }", &[&shared[..], &["older.so"]].concat()) {
        return;
    }
    versions("DEEP_1 { global: old; local: *; }; DEEP_2 { global: new; } DEEP_1;");
    gcc(dir.path(), "int old(void) { return 1; } int new(void) { return 2; }", &[&shared[..], &["libdeep.so"]].concat());
    gcc(dir.path(), "int new(void); int main(void) { return new(); }", &["-o", "app", "-L.", "-ldeep", "-Wl,--enable-new-dtags"]);
    for (name, tags) in [("by-rpath", "--disable-new-dtags"), ("by-runpath", "--enable-new-dtags")] {
        let path = format!("-Wl,-rpath,$ORIGIN/near,{tags}");
        gcc(dir.path(), "int new(void); int main(void) { return new(); }", &["-o", name, "-L.", "-ldeep", &path]);
    }
    gcc(dir.path(), "int main(void) { return 0; }", &["-o", "plain"]);
    gcc(dir.path(), "int main(void) { return 0; }", &["-static", "-o", "static"]);
    let system = needs_of(&dir.path().join("plain"));
    let image = |name: &str, more: &[(&str, &str)]| -> Files {
        let mut files = vec![("app".to_owned(), Some(0o755), at(name))];
        files.extend(system.iter().cloned());
        files.extend(more.iter().map(|(path, name)| ((*path).to_owned(), Some(0o644), at(name))));
        files
    };
    fs::write(dir.path().join("conf"), "include /etc/ld.so.conf.d/*.conf\n").unwrap();
    fs::write(dir.path().join("deep.conf"), "/opt/deep # here\n").unwrap();
    fs::write(dir.path().join("script"), "#!/bin/missing -x\n").unwrap();
    fs::write(dir.path().join("env"), "#!/tool/env plain\n").unwrap();
    let configured =
        [("etc/ld.so.conf", "conf"), ("etc/ld.so.conf.d/deep.conf", "deep.conf"), ("opt/deep/libdeep.so.1", "libdeep.so")];
    let only = |name: &str| vec![("app".to_owned(), Some(0o755), at(name))];
    let mut by_env = image("env", &[]);
    by_env.extend([("tool/env".to_owned(), Some(0o755), at("static")), ("tool/plain".to_owned(), Some(0o755), at("plain"))]);
    for (files, env, rule) in [
        (only("static"), vec![], None),
        (image("plain", &[]), vec![], None),
        (image("app", &[("lib/libdeep.so.1", "libdeep.so")]), vec![], None),
        // That is what ldconfig reads, not the loader.
        (image("app", &configured), vec![], Some("start-library")),
        (image("app", &[("x/libdeep.so.1", "libdeep.so")]), vec![("LD_LIBRARY_PATH", "/x")], None),
        (image("by-rpath", &[("near/libdeep.so.1", "libdeep.so")]), vec![], None),
        (image("by-runpath", &[("near/libdeep.so.1", "libdeep.so")]), vec![], None),
        (image("by-runpath", &[("far/libdeep.so.1", "libdeep.so")]), vec![], Some("start-library")),
        (by_env.clone(), vec![("PATH", "/tool")], None),
        (only("plain"), vec![], Some("start-loader")),
        (image("app", &[]), vec![], Some("start-library")),
        (image("app", &[("x/libdeep.so.1", "libdeep.so")]), vec![], Some("start-library")),
        (image("app", &[("lib/libdeep.so.1", "older.so")]), vec![], Some("start-version")),
        (only("script"), vec![], Some("start-interpreter")),
        (by_env, vec![("PATH", "/bin")], Some("start-interpreter")),
        // What starts may be mounted: for others to know.
        (vec![("other".to_owned(), Some(0o755), at("static"))], vec![], None),
    ] {
        let verified = verified(&files, &env);
        let names: Vec<&String> = files.iter().map(|(path, _, _)| path).collect();
        assert_eq!(verified.code, if rule.is_some() { 3 } else { 0 }, "{names:?}: {} {}", verified.stdout, verified.stderr);
        let wanted = rule.map(|rule| format!("[{rule}]")).unwrap_or_default();
        assert!(verified.stdout.contains(&wanted), "{names:?}: {}", verified.stdout);
    }
}

#[test]
fn a_base_with_devices_is_read_by_everything_and_they_are_left_out() {
    let project = Project::fixture("greeter");
    let files = vec![("etc/base".to_owned(), Some(0o644), b"x".to_vec()), ("dev/null".to_owned(), None, Vec::new())];
    let base = write_base(&project, &[files]);
    let mut build = plugin_build(&project.root);
    build.env("RUSTFLAGS", "-Ctarget-feature=+crt-static");
    ok(build.args(["build", "-q", "--base", &base, "-o", "out", "-t", "1"]));
    let verified = ran(plugin_build(&project.root).args(["verify", "oci:out"]));
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    assert!(verified.stderr.contains("1 device nodes"), "{}", verified.stderr);
    let image = project.inspected("oci:out:1");
    let listed = image["platforms"][0]["layers"][0]["files"].as_array().unwrap();
    assert!(listed.iter().any(|file| file["path"] == "dev/null" && file["problem"] == "it is a character device"), "{listed:?}");
    let unpacked = ok(plugin_build(&project.root).args(["unpack", "oci:out:1", "root"]));
    assert!(unpacked.stderr.contains("1 device nodes were left out"), "{}", unpacked.stderr);
    assert!(project.root.join("root/etc/base").exists() && !project.root.join("root/dev/null").exists());
}

#[test]
fn inspect_lists_what_nobody_would_make() {
    let project = Project::new(&[]);
    let mut bad = tar(&vec![("good".to_owned(), Some(0o644), b"x".to_vec())]);
    bad.truncate(1024);
    for (name, kind) in [(&b"../up"[..], b'0'), (b"pipe", b'6'), (b"a\x1b[2Jb", b'3'), (b"after", b'0')] {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkflag[0] = kind;
        header.set_mode(0o644);
        header.set_size(0);
        header.set_mtime(0);
        header.set_cksum();
        bad.extend_from_slice(header.as_bytes());
    }
    bad.extend_from_slice(&[0; 1024]);
    let mut layout = HandLayout::new(&project.root.join("bad"));
    let image = layout.image("linux/amd64", &[bad], plugin_oci::values::compression::Compression::Gzip);
    layout.tag("1", image);
    let image = project.inspected("oci:bad:1");
    let files = image["platforms"][0]["layers"][0]["files"].as_array().unwrap();
    let told: Vec<(&str, bool)> =
        files.iter().map(|file| (file["path"].as_str().unwrap(), file["problem"].is_string())).collect();
    let path = told[3].0;
    assert_eq!([told[0], told[1], told[2], told[4]], [("good", false), ("../up", true), ("pipe", true), ("after", false)]);
    assert!(!path.contains('\x1b') || !image.to_string().contains('\x1b'), "{path}");
}

#[test]
fn bundled_libraries_are_a_layer_of_their_own_and_the_same_every_time() {
    let project = Project::with_table("[package.metadata.plugin-build]\nbundle-libs = true\n");
    project.write("src/main.rs", MAIN);
    let built = ok(&mut dynamic(&project, &["-o", "out"]));
    assert!(built.stderr.contains("/release/p needs glibc 2."), "{}", built.stderr);
    let image = project.inspected("oci:out");
    let platform = &image["platforms"][0];
    assert!(platform["annotations"]["dev.cargo-plugin-build.glibc"].as_str().unwrap().starts_with("2."), "{platform}");
    let layers = platform["layers"].as_array().unwrap();
    let paths = |layer: usize| -> Vec<&str> {
        let files = layers[layer]["files"].as_array().unwrap().iter();
        files.map(|file| file["path"].as_str().unwrap()).filter(|path| !path.ends_with('/')).collect()
    };
    let libraries = paths(0);
    for needed in ["ld-linux-x86-64.so.2", "libc.so.6", "libgcc_s.so.1"] {
        assert!(libraries.iter().any(|path| path.ends_with(needed)), "{libraries:?}");
    }
    assert!(!libraries.iter().any(|path| path.ends_with("libm.so.6")), "only what is needed: {libraries:?}");
    assert_eq!((layers.len(), paths(1)), (2, vec!["p"]));

    let elsewhere = Project::new(&[]);
    copy(&project.root, &elsewhere.root);
    drop(fs::remove_dir_all(elsewhere.root.join("out")));
    let mut again = Command::new("sh");
    again.args(["-c", "umask 077 && exec \"$@\"", "sh"]).current_dir(&elsewhere.root);
    let build = dynamic(&elsewhere, &["-q", "-o", "out"]);
    again.arg(build.get_program()).args(build.get_args()).env_clear();
    again.envs(build.get_envs().filter_map(|(name, value)| Some((name, value?))));
    ok(again.env("LD_LIBRARY_PATH", Path::new("/nowhere")));
    assert_eq!(elsewhere.inspected("oci:out")["digest"], image["digest"]);
    ok(plugin_build(&project.root).args(["verify", "oci:out"]));
}

/// Each was given to execve(2).
#[test]
#[cfg(target_os = "linux")]
fn what_the_kernel_would_not_start_is_not_packed_as_entrypoint() {
    let other = if cfg!(target_arch = "x86_64") { ("arm64", 183) } else { ("amd64", 62) };
    let this = std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64");
    let changed = |at: usize, byte: u8| {
        let mut bytes = elf(None, &[], &[]);
        bytes[at] = byte;
        bytes
    };
    let project = Project::with_table("");
    let files: [(&str, &[u8]); 16] = [
        ("empty", b""),
        ("text", b"echo started\n"),
        ("marked", b"\xef\xbb\xbf#!/p\n"),
        ("second-line", b"\n#!/p\n"),
        ("nameless", b"#! \t\nexec /p\n"),
        ("windows", b"#!/p\r\nexec /p\r\n"),
        ("round", b"#!/app/round\n"),
        ("by-data", b"#!/app/data\n"),
        ("by-directory", b"#!/app/folder\n"),
        ("cut", &changed(0, 0x7f)[..30]),
        ("object", &changed(16, 1)),
        ("other", &changed(18, other.1)),
        ("dynamic", &elf(Some("/lib/loader"), &[], &[])),
        ("good", b"#!  /p  -a b\n"),
        ("unended", b"#!/p"),
        ("binary", &changed(16, 2)),
    ];
    fs::create_dir(project.root.join("bin")).unwrap();
    for (name, bytes) in files {
        fs::write(project.root.join("bin").join(name), bytes).unwrap();
    }
    project.write("data", "x");
    project.write("folder/run", "#!/p\n");
    for (link, target) in [("dangling", "nothing"), ("to-folder", "folder"), ("to-text", "text")] {
        std::os::unix::fs::symlink(target, project.root.join("bin").join(link)).unwrap();
    }
    let other = format!("is a program for {}, and the image is for {this}", other.0);
    let cases = [
        ("/app/empty", "its program /app/empty is empty"),
        ("/app/text", "names no interpreter, as `#!/bin/sh` does"),
        ("/app/marked", "is a text whose first line names no interpreter"),
        ("/app/second-line", "is a text whose first line names no interpreter"),
        ("/app/nameless", "its script /app/nameless names no interpreter behind `#!`"),
        ("/app/windows", "it has no /p\\r, which the script /app/windows needs: its first line ends as on Windows"),
        ("/app/round", "more than 5 scripts start one another"),
        ("/app/by-data", "its /app/data, which the script /app/by-data needs, cannot be executed"),
        ("/app/by-directory", "it has no /app/folder, which the script /app/by-directory needs: layer 1 has a directory there"),
        ("/app/cut", "its program /app/cut is a broken ELF file"),
        ("/app/object", "is an ELF file, but no program"),
        ("/app/other", other.as_str()),
        ("/app/dynamic", "it has no loader /lib/loader, which /app/dynamic needs"),
        ("/app/dangling", "it has no program /app/dangling: layer 1 has a link of that name to nothing, where no file is"),
        ("/app/to-folder", "a link of that name to folder"),
        ("/app/to-text", "its program /app/text is a text"),
        ("/app/folder", "it has no program /app/folder: layer 1 has a directory there"),
        ("/app", "layer 1 has a directory there"),
        ("/p/", "it has no program /p/"),
        ("/p/../p", "it has no program /p/../p"),
        ("/app/good", ""),
        ("/app/unended", ""),
        ("/app/binary", ""),
    ];
    let manifest = fs::read_to_string(project.root.join("Cargo.toml")).unwrap();
    for (entrypoint, told) in cases {
        let table = format!(
            "[package.metadata.plugin-build]\nentrypoint = ['{entrypoint}']\nfiles = [{{ from = 'bin/*', to = 'app/', mode = '0755' }}, \
             {{ from = 'folder/**', to = 'app/folder/', mode = '0755' }}, {{ from = 'data', to = 'app/' }}]\n"
        );
        project.write("Cargo.toml", &format!("{manifest}\n{table}"));
        let built = run(&project.root, &["-q"]);
        assert_eq!(built.code, i32::from(!told.is_empty()), "{entrypoint}: {}", built.stderr);
        assert!(built.stderr.contains(told), "{entrypoint}: {}", built.stderr);
    }
    for (user, code) in [("2147483647", 0), ("2147483648", 2), ("0:4294967295", 2), ("99999999999999999999", 2)] {
        project.write("Cargo.toml", &format!("{manifest}\n[package.metadata.plugin-build]\nuser = '{user}'\n"));
        let built = run(&project.root, &["-q"]);
        assert_eq!(built.code, code, "{user}: {}", built.stderr);
        assert!(code == 0 || built.stderr.contains("want numbers up to 2147483647"), "{user}: {}", built.stderr);
    }
}
