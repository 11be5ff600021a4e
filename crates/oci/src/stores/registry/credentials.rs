//! Credentials from the files that docker, podman and skopeo write, and from their credential helpers.
//!
//! Files, in this order: `--authfile` or else `REGISTRY_AUTH_FILE` (then no other); `$XDG_RUNTIME_DIR/containers/auth.json` or
//! else, where that is there, `/run/containers/UID/auth.json`; `$XDG_CONFIG_HOME/containers/auth.json` or else
//! `~/.config/containers/auth.json`; `$DOCKER_CONFIG/config.json` or else `~/.docker/config.json`; `~/.dockercfg`, which is nothing
//! but the `auths` and is not written to (containers-auth.json(5), docker's `config.json`). Within a file: `credHelpers` of the host, then `auths` from the longest `host/namespace` to the
//! host, then `credsStore`. A new password goes where it is found first: to the file that has one for the host, else to the last.
//!
//! The crate `docker_credential` was looked at: it reads the process environment, knows no `host/namespace` keys, and puts
//! what a helper printed into its error text.
//!
//! Threats and defences: secrets in output (no `Debug` or error shows one); a file of endless size (8 MiB are read); helpers,
//! see `helper.rs`.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use serde_json::{Map, Value, json};

use super::error::CredentialError;
use super::helper::Helper;
use crate::environment::Environment;
use crate::fs::lock::Lock;
use crate::fs::{self as durable, FileError, TempFile};

const FILE_LIMIT: u64 = 8 << 20;
/// How many links in a row a kernel follows.
const LINKS: usize = 40;
/// The key under which every tool keeps Docker Hub's credentials.
const HUB_KEY: &str = "https://index.docker.io/v1/";
const HUB_NAMES: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// What proves who the user is.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user name and a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A refresh token, which only the token server takes.
    Identity(String),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Credential::Basic",
            Self::Identity(_) => "Credential::Identity",
        })
    }
}

impl Credential {
    /// The value of an `Authorization` header, for a password.
    pub(super) fn basic_header(user: &str, password: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    }
}

/// The auth files of a user.
#[derive(Clone, Debug)]
pub struct AuthFiles {
    files: Vec<AuthFile>,
    environment: Environment,
}

#[derive(Clone, Debug)]
struct AuthFile {
    path: PathBuf,
    /// Named by the user: it must exist when it is read.
    explicit: bool,
    /// What docker wrote before 1.7: nothing but the `auths`.
    legacy: bool,
}

impl AuthFile {
    fn read(&self) -> Result<Option<Map<String, Value>>, CredentialError> {
        let tree = read(&self.path, self.explicit)?;
        Ok(tree.map(|tree| if self.legacy { Map::from_iter([("auths".to_owned(), Value::Object(tree))]) } else { tree }))
    }
}

impl AuthFiles {
    /// The files that these flags and variables name.
    pub fn new(authfile: Option<&Path>, environment: &Environment) -> Self {
        let environment = environment.clone();
        let named = authfile.map(Path::to_owned).or_else(|| environment.path("REGISTRY_AUTH_FILE"));
        if let Some(path) = named {
            let path = environment.resolve(&path);
            return Self { files: vec![AuthFile { path, explicit: true, legacy: false }], environment };
        }
        let home = environment.path("HOME");
        let runtime = environment.path("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")).or_else(of_this_user);
        let config = environment.path("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
        let legacy = home.as_ref().map(|home| AuthFile { path: home.join(".dockercfg"), explicit: false, legacy: true });
        let docker = environment.path("DOCKER_CONFIG").or_else(|| home.map(|home| home.join(".docker")));
        let found = [runtime, config.map(|dir| dir.join("containers/auth.json")), docker.map(|dir| dir.join("config.json"))];
        let files = found.into_iter().flatten().map(|path| AuthFile { path, explicit: false, legacy: false });
        let files = files.chain(legacy).collect();
        Self { files, environment }
    }

    /// The credentials for a repository, where there are any.
    pub fn find(&self, host: &str, repository: &str) -> Result<Option<Credential>, CredentialError> {
        for file in &self.files {
            let Some(tree) = file.read()? else { continue };
            if let Some(found) = self.find_in(&tree, &file.path, host, repository)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn find_in(
        &self,
        tree: &Map<String, Value>,
        path: &Path,
        host: &str,
        repository: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        let own = helper_of(tree, host);
        if let Some(helper) = &own
            && let Some(found) = self.ask_helper(helper, &server_key(host))?
        {
            return Ok(Some(found));
        }
        let auths = tree.get("auths").and_then(Value::as_object);
        let mut name = format!("{host}/{repository}");
        loop {
            // As it is written before what is taken for the same.
            let exact = auths.and_then(|auths| auths.get(&name));
            let same = auths.into_iter().flatten().filter(|(key, _)| names_same(key, &name)).map(|(_, entry)| entry);
            for entry in exact.into_iter().chain(same) {
                if let Some(found) = credential_of(entry, path)? {
                    return Ok(Some(found));
                }
            }
            match name.rfind('/') {
                Some(slash) => name.truncate(slash),
                None if own.is_some() => return Ok(None),
                None => return self.ask_store(tree, host),
            }
        }
    }

    fn ask_store(&self, tree: &Map<String, Value>, host: &str) -> Result<Option<Credential>, CredentialError> {
        match text(tree, "credsStore") {
            Some(helper) => self.ask_helper(&helper, &server_key(host)),
            None => Ok(None),
        }
    }

    fn ask_helper(&self, helper: &str, server: &str) -> Result<Option<Credential>, CredentialError> {
        let found = Helper::new(helper, &self.environment).get(server)?;
        Ok(found.map(|(user, password)| match user.as_str() {
            "<token>" => Credential::Identity(password),
            _ => Credential::Basic { user, password },
        }))
    }

    /// The file that holds the host's credentials, or would.
    fn home_of(&self, host: &str) -> Result<PathBuf, CredentialError> {
        let written = || self.files.iter().filter(|file| !file.legacy);
        for file in written() {
            let tree = read(&file.path, false)?.unwrap_or_default();
            let listed = tree.get("auths").and_then(Value::as_object).is_some_and(|a| a.keys().any(|key| names_same(key, host)));
            let kept = || matches!(self.ask_store(&tree, host), Ok(Some(_)));
            if listed || helper_of(&tree, host).is_some() || kept() {
                return Ok(file.path.clone());
            }
        }
        written().next_back().map(|file| file.path.clone()).ok_or(CredentialError::NoPlace)
    }

    /// Stores a password: in the helper that is configured for the host, else in the file. Returns where it went.
    pub fn store(&self, host: &str, user: &str, password: &str) -> Result<PathBuf, CredentialError> {
        let path = self.home_of(host)?;
        edit(&path, |tree| {
            let mut entry = json!({});
            if let Some(helper) = helper_of(tree, host).or_else(|| text(tree, "credsStore")) {
                Helper::new(&helper, &self.environment).store(&server_key(host), user, password)?;
            } else {
                entry["auth"] = json!(STANDARD.encode(format!("{user}:{password}")));
            }
            let auths = tree.entry("auths").or_insert_with(|| json!({}));
            let Some(auths) = auths.as_object_mut() else { return Err(malformed(&path, "`auths` is no object")) };
            auths.retain(|key, _| !names_same(key, host));
            auths.insert(server_key(host), entry);
            Ok(true)
        })?;
        Ok(path)
    }

    /// Removes the host's credentials from every file and helper. Returns the files that changed.
    pub fn erase(&self, host: &str) -> Result<Vec<PathBuf>, CredentialError> {
        let mut changed = Vec::new();
        for file in &self.files {
            if read(&file.path, file.explicit)?.is_none() {
                continue;
            }
            let erased = edit(&file.path, |tree| {
                if file.legacy {
                    let before = tree.len();
                    tree.retain(|key, _| !names_same(key, host));
                    return Ok(tree.len() < before);
                }
                let (own, key) = (helper_of(tree, host), server_key(host));
                let mut listed = false;
                if let Some(auths) = tree.get_mut("auths").and_then(Value::as_object_mut) {
                    let before = auths.len();
                    auths.retain(|key, _| !names_same(key, host));
                    listed = auths.len() < before;
                }
                // podman makes no entry for what the host's own helper has.
                let held = match &own {
                    Some(helper) if !listed => Helper::new(helper, &self.environment).get(&key)?.is_some(),
                    _ => listed,
                };
                if held && let Some(helper) = own.or_else(|| text(tree, "credsStore")) {
                    Helper::new(&helper, &self.environment).erase(&key)?;
                }
                Ok(held)
            })?;
            changed.extend(erased.then(|| file.path.clone()));
        }
        Ok(changed)
    }
}

fn read(path: &Path, must_exist: bool) -> Result<Option<Map<String, Value>>, CredentialError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(FILE_LIMIT).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => return Ok(None),
        Err(error) => return Err(FileError::at("read", path)(error).into()),
    }
    // Editors and shells of Windows write a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Some(Map::new()));
    }
    serde_json::from_slice(bytes).map(Some).map_err(|_| malformed(path, "it is no JSON object"))
}

/// Reads a file, changes it and, where `change` says so, replaces it as a whole. One process of ours at a time does this in a
/// directory: what another has just stored is read, and kept.
fn edit(
    path: &Path,
    change: impl FnOnce(&mut Map<String, Value>) -> Result<bool, CredentialError>,
) -> Result<bool, CredentialError> {
    let path = &followed(path)?;
    let dir = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    durable::create_dirs(dir)?;
    let _lock = Lock::directory(dir, || {})?;
    let mut tree = read(path, false)?.unwrap_or_default();
    let changed = change(&mut tree)?;
    if changed {
        let mut temp = TempFile::new_in(dir)?;
        let mut bytes = serde_json::to_vec_pretty(&tree).map_err(|_| malformed(path, "it cannot be written"))?;
        bytes.push(b'\n');
        temp.write_all(&bytes).map_err(FileError::at("write", path))?;
        temp.persist(path, 0o600)?;
        durable::sync_dir(dir)?;
    }
    Ok(changed)
}

/// The file that a path leads to, there or not: a link (a dotfile manager's) stays a link.
fn followed(path: &Path) -> Result<PathBuf, CredentialError> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match path.read_link() {
            Ok(target) => path = path.parent().unwrap_or(Path::new(".")).join(target),
            // No link, or nothing there: what is tried with it next says what is wrong.
            Err(_) => return Ok(path),
        }
    }
    Err(malformed(&path, "it is a link that leads in a circle"))
}

fn malformed(path: &Path, reason: &'static str) -> CredentialError {
    CredentialError::Malformed { path: path.display().to_string(), reason }
}

fn text(tree: &Map<String, Value>, key: &str) -> Option<String> {
    tree.get(key)?.as_str().filter(|value| !value.is_empty()).map(str::to_owned)
}

fn helper_of(tree: &Map<String, Value>, host: &str) -> Option<String> {
    let helpers = tree.get("credHelpers")?.as_object()?;
    helpers.iter().find(|(key, _)| names_same(key, host))?.1.as_str().filter(|name| !name.is_empty()).map(str::to_owned)
}

fn server_key(host: &str) -> String {
    if is_hub(host) { HUB_KEY.to_owned() } else { host.to_owned() }
}

/// Whether this is one of Docker Hub's names.
pub(super) fn is_hub(host: &str) -> bool {
    HUB_NAMES.contains(&host)
}

/// Where podman keeps credentials of a user without `XDG_RUNTIME_DIR`, until the system restarts.
fn of_this_user() -> Option<PathBuf> {
    #[cfg(target_os = "linux")]
    {
        let path = PathBuf::from(format!("/run/containers/{}/auth.json", nix::unistd::getuid()));
        path.is_file().then_some(path)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Whether a key of an auth file names `host` or `host/namespace`: old docker wrote `https://host/v1/`, others `host/v2/`.
fn names_same(key: &str, name: &str) -> bool {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let key = bare.map_or(key, |rest| rest.split('/').next().unwrap_or(rest));
    let (key_host, key_rest) = key.split_once('/').unwrap_or((key, ""));
    let (host, rest) = name.split_once('/').unwrap_or((name, ""));
    let same_host = key_host.eq_ignore_ascii_case(host) || (is_hub(key_host) && is_hub(host));
    let key_rest = key_rest.trim_end_matches('/');
    same_host && (key_rest == rest || rest.is_empty() && matches!(key_rest, "v1" | "v2"))
}

fn credential_of(entry: &Value, path: &Path) -> Result<Option<Credential>, CredentialError> {
    let Some(entry) = entry.as_object() else { return Ok(None) };
    if let Some(token) = text(entry, "identitytoken") {
        return Ok(Some(Credential::Identity(token)));
    }
    if let Some(encoded) = text(entry, "auth") {
        let engine = GeneralPurpose::new(
            &base64::alphabet::STANDARD,
            GeneralPurposeConfig::new().with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
        );
        let decoded = engine.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.ok_or_else(|| malformed(path, "an `auth` is not base64 of text"))?;
        let (user, password) = decoded.split_once(':').ok_or_else(|| malformed(path, "an `auth` has no colon"))?;
        let password = password.trim_end_matches('\0').to_owned();
        return Ok(Some(Credential::Basic { user: user.to_owned(), password }));
    }
    Ok(text(entry, "username").zip(text(entry, "password")).map(|(user, password)| Credential::Basic { user, password }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(content: &str) -> (tempfile::TempDir, AuthFiles) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.json");
        std::fs::write(&path, content).unwrap();
        let files = AuthFiles::new(Some(&path), &Environment::default());
        (dir, files)
    }

    fn user_for(files: &AuthFiles, host: &str, repository: &str) -> Option<String> {
        match files.find(host, repository).unwrap()? {
            Credential::Basic { user, .. } => Some(user),
            Credential::Identity(token) => Some(format!("token {token}")),
        }
    }

    #[test]
    fn the_longest_key_that_matches_wins() {
        let entry = |user: &str| format!(r#"{{"auth":"{}"}}"#, STANDARD.encode(format!("{user}:p")));
        let (_dir, files) = files(&format!(
            r#"{{"auths":{{"r.test":{},"r.test/a":{},"r.test/a/b":{},"https://old.test/v1/":{},"{HUB_KEY}":{},"t.test":{{"identitytoken":"t"}},"e.test":{{}}}}}}"#,
            entry("host"),
            entry("a"),
            entry("ab"),
            entry("old"),
            entry("hub")
        ));
        for (host, repository, want) in [
            ("r.test", "a/b", Some("ab")),
            ("r.test", "a/b/c", Some("ab")),
            ("r.test", "a/x", Some("a")),
            ("r.test", "ab", Some("host")),
            ("old.test", "x", Some("old")),
            ("docker.io", "library/x", Some("hub")),
            ("t.test", "x", Some("token t")),
            ("e.test", "x", None),
            ("r.test:5000", "a", None),
            ("other.test", "a", None),
        ] {
            assert_eq!(user_for(&files, host, repository).as_deref(), want, "{host}/{repository}");
        }
    }

    #[test]
    fn storing_keeps_what_is_not_ours_and_erasing_removes_only_the_host() {
        let (dir, files) = files(r#"{"auths":{"keep.test":{"auth":"YTpi","x":1}},"HttpHeaders":{"X":"y"},"future":[1.5]}"#);
        files.store("r.test", "me", "s3cret:with:colons").unwrap();
        let found = files.find("r.test", "any").unwrap().unwrap();
        assert!(found == Credential::Basic { user: "me".to_owned(), password: "s3cret:with:colons".to_owned() });
        assert_eq!(format!("{found:?}"), "Credential::Basic");
        let path = dir.path().join("auth.json");
        let tree: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(tree["auths"]["keep.test"], json!({"auth":"YTpi","x":1}));
        assert_eq!((&tree["HttpHeaders"]["X"], &tree["future"]), (&json!("y"), &json!([1.5])));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(files.erase("r.test").unwrap(), [path]);
        assert!(files.erase("r.test").unwrap().is_empty());
        assert_eq!(user_for(&files, "keep.test", "x").as_deref(), Some("a"));
    }

    #[test]
    fn an_explicit_file_must_exist_and_errors_show_no_content() {
        let missing = AuthFiles::new(Some(Path::new("/nonexistent/auth.json")), &Environment::default());
        assert!(missing.find("r.test", "x").is_err());
        let (_dir, files) = files(r#"{"auths":{"r.test":{"auth":"hunter2 is no base64"}}}"#);
        let error = files.find("r.test", "x").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
