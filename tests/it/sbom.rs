//! Bills of materials and provenance: what was compiled and nothing else, the same bytes everywhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use plugin_build::build::sbom::format::Format;
use plugin_build::images::attached::{self, Attached};
use plugin_oci::stores::layout::Layout;
use plugin_oci::stores::{Selector, Source as _};
use serde_json::Value;

use crate::support::git::{commit, git, git_dependency};
use crate::support::program::{done, plugin_build, ran, run};
use crate::support::project::{Project, copy};
use crate::support::tools::stdout;

const HOST: &str = "x86_64-unknown-linux-gnu";

/// A workspace with every way in which a crate may be there and not be linked, or the other way round.
fn odd(repository: &str) -> Vec<(&'static str, String)> {
    let table = "[package.metadata.plugin-build]\n";
    let member = |name: &str, more: &str| format!("[package]\nname='{name}'\nversion='0.1.0'\nedition='2024'\n{more}");
    vec![
        (
            "ws/Cargo.toml",
            member(
                "p",
                &format!(
                    "license='MIT/Apache-2.0'\nrepository='https://user:s3cret@git.example/p?token=s3cret'\n{table}\
                     [workspace]\nmembers=['member','q']\n\
                     [features]\nextra=['dep:fnv']\n\
                     [dependencies]\nserde={{version='=1.0.229',features=['derive']}}\n\
                     bits={{package='bitflags',version='=2.13.2'}}\nold={{package='bitflags',version='=1.3.2'}}\n\
                     orbit={{git='{repository}'}}\nmember={{path='member'}}\noutside={{path='../outside'}}\n\
                     fnv={{version='=1.0.7',optional=true}}\nitoa='=1.0.19'\ncfg-if='1'\n\
                     [build-dependencies]\nitoa='=1.0.19'\nryu='=1.0.23'\nmember={{path='member',features=['fast']}}\n\
                     [target.'cfg(windows)'.dependencies]\nheck='=0.5.0'\n\
                     [patch.crates-io]\ncfg-if={{path='../patched'}}\n"
                ),
            ),
        ),
        ("ws/build.rs", "fn main() { println!(\"cargo::rerun-if-changed=build.rs\"); }\n".to_owned()),
        ("ws/src/main.rs", "fn main() { println!(\"{}\", orbit::place(0)); }\n".to_owned()),
        (
            "ws/member/Cargo.toml",
            // With resolver 2 it is compiled twice, and with `memchr` for the build script alone.
            member("member", "[features]\nfast=['dep:memchr']\n[dependencies]\nmemchr={version='=2.8.3',optional=true}\n"),
        ),
        ("ws/member/src/lib.rs", String::new()),
        ("ws/q/Cargo.toml", member("q", &format!("license='proprietary'\n{table}[dependencies]\nheck='=0.5.0'\n"))),
        ("ws/q/src/main.rs", "fn main() {}\n".to_owned()),
        ("outside/Cargo.toml", member("outside", "license-file='docs/TERMS'\n")),
        ("outside/src/lib.rs", String::new()),
        ("patched/Cargo.toml", member("cfg-if", "").replace("0.1.0", "1.0.99")),
        ("patched/src/lib.rs", String::new()),
    ]
}

fn odd_project(repository: &str) -> Project {
    let files = odd(repository);
    Project::new(&files.iter().map(|(path, text)| (*path, text.as_str())).collect::<Vec<_>>())
}

fn attached_to(layout: &Path) -> (Layout, plugin_oci::documents::Descriptor) {
    let layout = Layout::open(layout).unwrap();
    let root = layout.resolve(&Selector::Only).unwrap();
    (layout, root)
}

fn bill(layout: &Path) -> Attached {
    let (layout, root) = attached_to(layout);
    attached::bills(&layout, &root.digest).unwrap().remove(0)
}

fn statement(layout: &Path) -> Attached {
    let (layout, root) = attached_to(layout);
    attached::provenances(&layout, &root.digest).unwrap().remove(0)
}

/// `name version` of the crates with a scope; the plugin's own is required.
fn crates(bill: &Value, scope: &str) -> BTreeSet<String> {
    let components = bill["components"].as_array().unwrap().iter();
    let own = (scope == "required").then_some(&bill["metadata"]["component"]);
    let chosen = components.filter(|component| component["scope"] == scope).chain(own);
    let crates = chosen.filter(|component| component["purl"].as_str().is_some_and(|purl| purl.starts_with("pkg:cargo/")));
    let name = |component: &Value| {
        let purl = component["purl"].as_str().unwrap().strip_prefix("pkg:cargo/").unwrap();
        purl.split('?').next().unwrap().replace('@', " ")
    };
    crates.map(name).collect()
}

/// What `cargo tree` says is linked.
fn tree(dir: &Path, package: &str, edges: &str, more: &[&str]) -> BTreeSet<String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["tree", "--quiet", "--locked", "-p", package, "-e", edges, "--target", HOST, "--prefix", "none", "-f", "{p}"]);
    let text = stdout(cargo.args(more).current_dir(dir));
    let line = |line: &str| {
        let mut words = line.split(' ');
        Some(format!("{} {}", words.next()?, words.next()?.strip_prefix('v')?))
    };
    text.lines().filter_map(line).collect()
}

fn component<'b>(bill: &'b Value, name: &str) -> &'b Value {
    let named = |component: &&Value| component["name"] == name;
    bill["components"].as_array().unwrap().iter().find(named).unwrap_or_else(|| panic!("{name}: {bill}"))
}

#[test]
fn a_bill_has_what_was_compiled_and_tells_what_is_linked() {
    let temp = tempfile::tempdir().unwrap();
    let repository = git_dependency(&temp.path().join("orbit"));
    let project = odd_project(&repository);
    let ws = project.root.join("ws");
    done(&ws, &["build", "-q", "--workspace", "-o", "out"]);
    let linked = "normal,no-proc-macro";
    for package in ["p", "q"] {
        let bill = bill(&ws.join("out").join(package)).document;
        assert_eq!(crates(&bill, "required"), tree(&ws, package, linked, &[]), "{package}");
        let all: BTreeSet<String> = crates(&bill, "required").union(&crates(&bill, "excluded")).cloned().collect();
        assert_eq!(all, tree(&ws, package, "normal,build", &[]), "{package}");
    }
    let found = bill(&ws.join("out/p")).document;
    let excluded = crates(&found, "excluded");
    for name in ["serde_derive 1.0.229", "ryu 1.0.23", "memchr 2.8.3"] {
        assert!(excluded.contains(name), "{name}: {excluded:?}");
    }
    let required = crates(&found, "required");
    for name in ["bitflags 1.3.2", "bitflags 2.13.2", "itoa 1.0.19", "orbit 0.2.0", "cfg-if 1.0.99", "outside 0.1.0"] {
        assert!(required.contains(name), "{name}: {required:?}");
    }
    let of = |name: &str, key: &str| component(&found, name)[key].clone();
    assert_eq!(of("itoa", "purl"), "pkg:cargo/itoa@1.0.19");
    assert_eq!(of("itoa", "bom-ref"), of("itoa", "purl"));
    assert_eq!(of("itoa", "hashes")[0]["content"].as_str().unwrap().len(), 64, "crates.io's checksum");
    let head = git(&temp.path().join("orbit"), &["rev-parse", "HEAD"]);
    assert_eq!(of("orbit", "purl"), format!("pkg:cargo/orbit@0.2.0?vcs_url=git%2Bfile:%40{}", head.trim()));
    assert_eq!(of("member", "purl"), "pkg:cargo/member@0.1.0?download_url=file:member");
    assert_eq!(of("outside", "purl"), "pkg:cargo/outside@0.1.0?download_url=file:outside-0.1.0");
    assert_eq!(of("outside", "licenses")[0]["license"]["name"], "in file TERMS");
    assert_eq!(of("member", "licenses"), Value::Null);
    assert_eq!(found["metadata"]["component"]["licenses"][0]["expression"], "MIT OR Apache-2.0");
    let other = bill(&ws.join("out/q")).document;
    assert_eq!(other["metadata"]["component"]["licenses"][0]["license"]["name"], "proprietary");
    for name in ["rust-std", "glibc", "p"] {
        assert_eq!(of(name, "properties")[0]["value"], "linux/amd64", "{name}");
    }
    assert_eq!(of("rustc", "scope"), "excluded");
    assert_eq!(found.get("serialNumber"), None);
    assert_eq!(found["metadata"].get("timestamp"), None);
    let depends = |of: &str| {
        let of = found["dependencies"].as_array().unwrap().iter().find(|d| d["ref"].as_str().unwrap().contains(of)).unwrap();
        of["dependsOn"].as_array().unwrap().iter().map(|to| to.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(depends("cargo/serde@").iter().any(|to| to.starts_with("pkg:cargo/serde_derive@")));
    let refs: BTreeSet<&str> = found["components"].as_array().unwrap().iter().map(|c| c["bom-ref"].as_str().unwrap()).collect();
    for dependency in found["dependencies"].as_array().unwrap() {
        for to in dependency["dependsOn"].as_array().unwrap() {
            assert!(refs.contains(to.as_str().unwrap()), "{to} is no component");
        }
    }

    // Another feature is another set, and with the one package alone the same holds.
    done(&ws, &["build", "-q", "-F", "extra", "-o", "extra"]);
    let extra = bill(&ws.join("extra")).document;
    assert_eq!(crates(&extra, "required"), tree(&ws, "p", linked, &["-F", "extra"]));
    assert!(crates(&extra, "required").contains("fnv 1.0.7"));

    // Provenance has the same packages, where they say what they are.
    let definition = statement(&ws.join("out/p")).document["predicate"]["buildDefinition"].clone();
    let dependencies = definition["resolvedDependencies"].as_array().unwrap();
    let uris: Vec<&str> = dependencies.iter().filter_map(|dependency| dependency["uri"].as_str()).collect();
    let from_elsewhere = found["components"].as_array().unwrap().iter().filter_map(|c| c["purl"].as_str());
    let from_elsewhere = from_elsewhere.filter(|purl| purl.starts_with("pkg:cargo/") && !purl.contains("download_url"));
    assert_eq!(uris, from_elsewhere.collect::<Vec<_>>());
    assert!(!uris.iter().any(|uri| uri.contains("/fnv@") || uri.contains("/heck@")), "the lock file has more: {uris:?}");
    assert_eq!(definition["internalParameters"]["sandbox"], "none");

    // SPDX says the same; none is attached on demand, and the image is the same all along.
    let digest = |dir: &str| attached_to(&ws.join(dir)).1.digest;
    done(&ws, &["build", "-q", "--sbom", "spdx", "--no-provenance", "-o", "spdx"]);
    let spdx = bill(&ws.join("spdx"));
    assert_eq!(spdx.media_type, Format::Spdx.media_type());
    let artifact = spdx.document["packages"].as_array().unwrap().iter().find(|p| p["primaryPackagePurpose"] == "FILE").unwrap();
    let links = spdx.document["relationships"].as_array().unwrap().iter();
    let links = links.filter(|r| r["spdxElementId"] == artifact["SPDXID"] && r["relationshipType"] == "STATIC_LINK").count();
    assert_eq!(links, required.len() + 2, "with the standard library and glibc");
    done(&ws, &["build", "-q", "--no-sbom", "--no-provenance", "-o", "none"]);
    let (none, root) = attached_to(&ws.join("none"));
    assert!(none.referrers(&root.digest).unwrap().is_empty());
    assert_eq!((digest("none"), digest("spdx")), (digest("out/p"), digest("out/p")));
}

#[test]
fn documents_are_the_same_bytes_wherever_and_however_often_one_builds() {
    let temp = tempfile::tempdir().unwrap();
    let repository = git_dependency(&temp.path().join("orbit"));
    let project = odd_project(&repository);
    let there = project.root.join("elsewhere/deep");
    let ws = project.root.join("ws");
    done(&ws, &["build", "-q", "-o", "out"]);
    let (one, other) = (bill(&ws.join("out")).bytes, statement(&ws.join("out")).bytes);
    for name in ["ws", "outside", "patched"] {
        copy(&project.root.join(name), &there.join(name));
    }
    drop(fs::remove_dir_all(there.join("ws/target")));
    drop(fs::remove_dir_all(there.join("ws/out")));
    let mut build = plugin_build(&there.join("ws"));
    build.args(["build", "-q", "-j", "1", "-o", "out", "--target-dir", "../made/here"]);
    build.env("TZ", "Pacific/Kiritimati").env("LANG", "fr_FR.UTF-8").env("USER", "somebody");
    let second = ran(&mut build);
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert_eq!(String::from_utf8(bill(&there.join("ws/out")).bytes), String::from_utf8(one.clone()));
    assert_eq!(String::from_utf8(statement(&there.join("ws/out")).bytes), String::from_utf8(other.clone()));
    let text = String::from_utf8([one.clone(), other.clone()].concat()).unwrap();
    for secret in [project.root.to_str().unwrap(), temp.path().to_str().unwrap(), "s3cret", "/.cargo", "/root", "/home"] {
        assert!(!text.contains(secret), "{secret}");
    }

    // Where nothing has changed, cargo is asked nothing more than without attachments.
    let spawned = |arguments: &[&str]| {
        let said = done(&ws, &[&["build", "-q", "--message-format", "json", "-o", "out"], arguments].concat());
        let words = said.lines().filter(|line| line.contains("\"spawned\"")).map(str::to_owned);
        words.collect::<Vec<_>>()
    };
    let cargos = |commands: &[String]| commands.iter().filter(|command| command.contains("cargo")).count();
    // Files are trusted once they are older than the clock's tick.
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        let (without, with) = (spawned(&["--no-sbom", "--no-provenance"]), spawned(&[]));
        if cargos(&with) == cargos(&without) {
            break;
        }
        assert!(Instant::now() < end, "{with:?}");
    }
    assert_eq!(bill(&ws.join("out")).bytes, one);
}

#[test]
fn the_source_is_told_by_its_commit_and_whether_it_is_as_committed() {
    let project = Project::with_table("");
    project.write(".gitignore", "/target\n");
    done(&project.root, &["build", "-q", "-o", "out"]);
    let source = || {
        let statement = statement(&project.root.join("out")).document;
        let dependencies = statement["predicate"]["buildDefinition"]["resolvedDependencies"].as_array().unwrap().clone();
        dependencies.into_iter().find(|dependency| dependency["name"] == "source")
    };
    assert_eq!(source(), None, "no repository, no source");
    commit(&project.root, "all but the layout");
    git(&project.root, &["rm", "-r", "--quiet", "--cached", "out"]);
    commit_staged(&project.root);
    let head = git(&project.root, &["rev-parse", "HEAD"]).trim().to_owned();
    let built = |dirty: bool| {
        done(&project.root, &["build", "-q", "-o", "out"]);
        let source = source().unwrap();
        assert_eq!(source["digest"]["gitCommit"], head);
        assert_eq!(source["annotations"]["dirty"], dirty);
    };
    built(false);
    project.write("notes.txt", "untracked, and cargo would take it\n");
    built(true);
    fs::remove_file(project.root.join("notes.txt")).unwrap();
    built(false);
    let main = project.root.join("src/main.rs");
    fs::write(&main, "fn main() { println!(\"changed\"); }\n").unwrap();
    built(true);
}

fn commit_staged(dir: &Path) {
    git(dir, &["commit", "--quiet", "--message", "the layout is no source"]);
}

#[test]
fn people_read_a_table_and_programs_the_document() {
    let project = Project::fixture("greeter");
    done(&project.root, &["build", "-q", "-o", "out"]);
    let image = "oci:out:0.3.1";
    let table = done(&project.root, &["sbom", image]);
    assert!(table.lines().any(|line| line.starts_with("greeter 0.3.1") && line.ends_with("MIT OR Apache-2.0")), "{table}");
    assert!(table.contains("2  MIT OR Apache-2.0") && table.contains("1  none stated"), "{table}");
    let document = done(&project.root, &["sbom", image, "--format", "json"]);
    assert_eq!(document.as_bytes(), bill(&project.root.join("out")).bytes);
    let provenance = done(&project.root, &["provenance", image]);
    assert!(provenance.contains("sandbox     none") && provenance.contains("rustc       rustc 1."), "{provenance}");
    let statement: Value = serde_json::from_str(&done(&project.root, &["provenance", image, "--format", "json"])).unwrap();
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    let json: Value = serde_json::from_str(done(&project.root, &["sbom", image, "--message-format", "json"]).trim()).unwrap();
    assert_eq!((&json["reason"], &json["license_counts"]["MIT OR Apache-2.0"]), (&"sbom".into(), &2.into()));
    let inspected = done(&project.root, &["inspect", "--no-files", image]);
    assert!(inspected.contains("attachment  application/vnd.cyclonedx+json"), "{inspected}");

    // They go wherever the image goes, and leave on demand.
    done(&project.root, &["copy", image, "oci-archive:a.tar"]);
    assert_eq!(done(&project.root, &["sbom", "oci-archive:a.tar", "--format", "json"]), document);
    done(&project.root, &["detach", image, "--type", "application/vnd.cyclonedx+json"]);
    let none = run(&project.root, &["sbom", image]);
    assert_eq!(none.code, 1);
    assert!(none.stderr.contains("no SBOM is attached"), "{}", none.stderr);
    assert_eq!(done(&project.root, &["provenance", image]), provenance);
}

#[test]
#[ignore = "needs a second compiler"]
fn platforms_that_are_joined_keep_their_documents() {
    use crate::support::second_compiler::{ARM, is_there, second};
    if !is_there() {
        return;
    }
    let project = Project::fixture("greeter");
    let build = |targets: &[&str], out: &str| {
        let targets: Vec<&str> = targets.iter().flat_map(|target| ["--target", *target]).collect();
        let built = ran(second(&project.root).args(["build", "-q", "-o", out]).args(targets));
        assert_eq!(built.code, 0, "{}", built.stderr);
    };
    build(&[HOST, ARM], "both");
    build(&[HOST], "one");
    build(&[ARM], "other");
    done(&project.root, &["copy", "--into-index", "oci:one", "oci:other", "oci:joined:0.3.1"]);
    assert_eq!(attached_to(&project.root.join("both")).1.digest, attached_to(&project.root.join("joined")).1.digest);
    for (out, platform) in [("one", "linux/amd64"), ("other", "linux/arm64")] {
        let shown = done(&project.root, &["sbom", "--format", "json", "--platform", platform, "oci:joined"]);
        assert_eq!(shown.as_bytes(), bill(&project.root.join(out)).bytes);
    }
    let both = bill(&project.root.join("both")).document;
    let platforms = component(&both, "greeter")["properties"].as_array().unwrap().len();
    assert_eq!(platforms, 1, "each platform has its own program");
    assert_eq!(component(&both, "rust-std")["properties"].as_array().unwrap().len(), 2);
}
