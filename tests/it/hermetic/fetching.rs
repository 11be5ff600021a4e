//! Fetching: the network is there, the sources' programs are not, and no token goes where the caller has not said.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::scene::{CALLERS, Caller, MANIFEST, Scene, result};
use crate::support::http_server::{Answer, Handler, Reply, Request, Server};
use crate::support::program::ran;
use crate::support::registry_cache::{MAIN_WITH_ITOA, copy_itoa, lock_with_itoa};

/// A sparse registry with one crate, that notes every token it is sent.
struct Registry {
    wants_token: bool,
    crate_file: Vec<u8>,
    line: String,
    seen: Mutex<Vec<String>>,
    host: Mutex<String>,
}

impl Handler for Registry {
    fn answer(&self, request: &Request) -> Answer {
        let token = request.header("authorization").map(str::to_owned);
        let has_token = token.is_some();
        self.seen.lock().unwrap().extend(token);
        if self.wants_token && !has_token {
            return Reply::new(401).into();
        }
        let host = self.host.lock().unwrap().clone();
        match request.path.as_str() {
            "/config.json" => {
                let auth = if self.wants_token { ",\"auth-required\":true" } else { "" };
                Reply::new(200).body(format!("{{\"dl\":\"http://{host}/dl\"{auth}}}")).into()
            }
            "/it/oa/itoa" => Reply::new(200).body(self.line.clone()).into(),
            path if path.starts_with("/dl/") => Reply::new(200).body(self.crate_file.clone()).into(),
            _ => Reply::new(404).into(),
        }
    }
}

fn registry(wants_token: bool) -> (Arc<Registry>, Server) {
    let home = tempfile::tempdir().unwrap();
    copy_itoa(home.path());
    let files = walkdir::WalkDir::new(home.path()).into_iter().flatten().map(walkdir::DirEntry::into_path);
    let (version, checksum) = version_and_checksum();
    let locked = format!("itoa-{version}.crate");
    let file: PathBuf = files.into_iter().find(|path| path.ends_with(&locked)).unwrap();
    let line = format!(
        "{{\"name\":\"itoa\",\"vers\":\"{version}\",\"deps\":[],\"cksum\":\"{checksum}\",\"features\":{{}},\"yanked\":false}}\n"
    );
    let crate_file = fs::read(file).unwrap();
    let registry = Arc::new(Registry { wants_token, crate_file, line, seen: Mutex::default(), host: Mutex::default() });
    let server = Server::start(registry.clone());
    *registry.host.lock().unwrap() = server.host();
    (registry, server)
}

fn version_and_checksum() -> (String, String) {
    let lock: toml::Table = lock_with_itoa().parse().unwrap();
    let package = &lock["package"][0];
    (package["version"].as_str().unwrap().to_owned(), package["checksum"].as_str().unwrap().to_owned())
}

fn project(caller: Caller, index: &str) -> Option<Scene> {
    let manifest =
        MANIFEST.replace("\n[workspace]", "\n[dependencies]\nitoa = { version = \"1\", registry = \"own\" }\n\n[workspace]");
    let lock = lock_with_itoa().replace("registry+https://github.com/rust-lang/crates.io-index", &format!("sparse+{index}"));
    Scene::new(caller, &[("Cargo.toml", &manifest), ("Cargo.lock", &lock), ("src/main.rs", MAIN_WITH_ITOA)])
}

fn configure(file: &Path, text: &str) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

#[test]
#[ignore = "needs namespaces"]
fn what_the_sources_name_is_fetched_and_what_they_would_run_is_not() {
    for caller in CALLERS {
        let (_, server) = registry(false);
        let index = format!("http://{}/", server.host());
        let Some(scene) = project(caller, &index) else { return };
        let canary = scene.stage().join("canary");
        let wrap = format!("#!/bin/sh\necho ran 2>/dev/null >> {}\nexec \"$@\"\n", canary.display());
        scene.project.write("wrap", &wrap);
        fs::set_permissions(scene.project.root.join("wrap"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let config = format!(
            "[registries.own]\nindex = 'sparse+{index}'\n[build]\nrustc-workspace-wrapper = './wrap'\n[env]\nLD_PRELOAD = '/nowhere.so'\n"
        );
        scene.project.write(".cargo/config.toml", &config);
        let built = ran(&mut scene.build(&["--hermetic", "--message-format", "json"]));
        assert_eq!(built.code, 0, "{caller:?}: {}", built.stderr);
        assert_eq!(result(&built)["hermetic"]["phases"][0]["network"], true, "{caller:?}");
        assert!(!canary.exists(), "{caller:?}: it ran");
        let fetched = scene.home().join(".cargo/registry/cache");
        assert!(fetched.is_dir(), "{caller:?}: another build need not fetch it again");
        drop(server);
        let again = ran(&mut scene.build(&["--hermetic", "--offline"]));
        assert_eq!(again.code, 0, "{caller:?}: {}", again.stderr);
    }
}

#[test]
#[ignore = "needs namespaces"]
fn a_token_goes_to_the_registry_that_the_caller_names_and_to_no_other_under_its_name() {
    for by_variable in [false, true] {
        let (seen, server) = registry(true);
        let index = format!("http://{}/", server.host());
        let Some(scene) = project(Caller::Root, &index) else { return };
        let cargo = scene.home().join(".cargo");
        let named = format!("[registries.own]\nindex = 'sparse+{index}'\n");
        let build = |scene: &Scene, more: &[&str]| {
            let mut command = scene.build(&[&["--hermetic"], more].concat());
            if by_variable {
                command.env("CARGO_REGISTRIES_OWN_TOKEN", "s3cret");
            }
            ran(&mut command)
        };
        if !by_variable {
            configure(&cargo.join("credentials.toml"), "[registries.own]\ntoken = 's3cret'\n");
        }
        // The sources name it: no token.
        scene.project.write(".cargo/config.toml", &named);
        let refused = build(&scene, &[]);
        assert_ne!(refused.code, 0, "{}", refused.stderr);
        assert_eq!(seen.seen.lock().unwrap().len(), 0, "the sources got the token");
        // The caller names it, and the sources another under its name.
        configure(&cargo.join("config.toml"), &named);
        let (thief, elsewhere) = registry(true);
        scene.project.write(".cargo/config.toml", &format!("[registries.own]\nindex = 'sparse+http://{}/'\n", elsewhere.host()));
        drop(build(&scene, &[]));
        assert_eq!(thief.seen.lock().unwrap().len(), 0, "the thief got the token");
        fs::remove_file(scene.project.root.join(".cargo/config.toml")).unwrap();
        let built = build(&scene, &[]);
        assert_eq!(built.code, 0, "{}", built.stderr);
        assert!(seen.seen.lock().unwrap().iter().all(|token| token == "s3cret"));
        assert!(!seen.seen.lock().unwrap().is_empty(), "the caller's registry wants it");
    }
}
