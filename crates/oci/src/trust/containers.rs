//! Policies as skopeo, podman and CRI-O have them: containers-policy.json(5).
//!
//! What is asked of an image is the list of the narrowest scope that it is in. Of the kinds of requirements, those by keys of sigstore
//! are judged; an image whose list has another is not judged at all.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::PolicyError;
use super::identity::Identity;
use super::{Demand, Signature};
use crate::failure::Error;
use crate::signatures::keys::{KeyFile, PublicKey};
use crate::values::reference::Reference;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    default: Vec<Map<String, Value>>,
    #[serde(default)]
    transports: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SigstoreSigned {
    #[serde(rename = "type")]
    _kind: String,
    key_path: Option<PathBuf>,
    key_paths: Option<Vec<PathBuf>>,
    key_data: Option<String>,
    key_datas: Option<Vec<String>>,
    signed_identity: Option<Value>,
}

/// What a policy asks of the image of a reference. Relative paths of keys begin at `dir`.
pub fn demands(policy: Value, reference: &Reference, dir: &Path, now: u64) -> Result<Vec<Demand>, Error> {
    let policy: Policy = serde_json::from_value(policy).map_err(|error| PolicyError::Shape(error.to_string()))?;
    let listed = requirements(&policy, reference)?;
    if listed.is_empty() {
        return Err(PolicyError::Shape("a list of requirements is empty".to_owned()).into());
    }
    let demands = listed.into_iter().map(|requirement| demand(requirement, reference, dir, now));
    Ok(demands.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn requirements(policy: &Policy, reference: &Reference) -> Result<Vec<Map<String, Value>>, PolicyError> {
    let (transport, scopes) = scopes(reference);
    let transport = match policy.transports.get(transport) {
        Some(Value::Object(transport)) => Some(transport),
        Some(_) => return Err(PolicyError::Shape(format!("`transports.{transport}` is no object"))),
        None => None,
    };
    match transport.and_then(|transport| scopes.iter().find_map(|scope| transport.get(scope))) {
        Some(found) => serde_json::from_value(found.clone()).map_err(|error| PolicyError::Shape(error.to_string())),
        None => Ok(policy.default.clone()),
    }
}

/// The scopes that an image is in, the narrowest first.
fn scopes(reference: &Reference) -> (&'static str, Vec<String>) {
    let mut scopes = Vec::new();
    let transport = match reference {
        Reference::Registry(registry) => {
            let name = registry.name();
            match (&registry.digest, &registry.tag) {
                (Some(digest), _) => scopes.push(format!("{name}@{digest}")),
                (None, Some(tag)) => scopes.push(format!("{name}:{tag}")),
                (None, None) => scopes.push(format!("{name}:latest")),
            }
            let mut parent = name.as_str();
            scopes.push(parent.to_owned());
            while let Some((above, _)) = parent.rsplit_once('/') {
                parent = above;
                scopes.push(parent.to_owned());
            }
            let mut host = registry.host.as_str();
            while let Some((_, domain)) = host.split_once('.') {
                host = domain;
                scopes.push(format!("*.{domain}"));
            }
            "docker"
        }
        Reference::Layout(local) | Reference::Archive(local) => {
            let path = local.path.canonicalize().unwrap_or_else(|_| local.path.clone());
            scopes.extend(local.name.as_ref().map(|name| format!("{}:{name}", path.display())));
            scopes.extend(path.ancestors().map(|above| above.display().to_string()).filter(|above| above != "/"));
            if matches!(reference, Reference::Layout(_)) { "oci" } else { "oci-archive" }
        }
    };
    scopes.push(String::new());
    (transport, scopes)
}

fn demand(requirement: Map<String, Value>, reference: &Reference, dir: &Path, now: u64) -> Result<Option<Demand>, Error> {
    let kind = requirement.get("type").and_then(Value::as_str).unwrap_or_default();
    if matches!(kind, "insecureAcceptAnything" | "reject") && requirement.len() > 1 {
        // Whoever wrote more meant more.
        return Err(PolicyError::Shape(format!("a requirement `{kind}` has other keys than `type`")).into());
    }
    match kind {
        "insecureAcceptAnything" => Ok(None),
        "reject" => Ok(Some(Demand::Nothing)),
        "sigstoreSigned" => {
            if let Some(key) =
                ["fulcio", "pki", "rekorPublicKeyPath", "rekorPublicKeyPaths", "rekorPublicKeyData", "rekorPublicKeyDatas"]
                    .into_iter()
                    .find(|key| requirement.contains_key(*key))
            {
                return Err(PolicyError::NotJudged(format!("sigstoreSigned with {key}")).into());
            }
            let signed: SigstoreSigned =
                serde_json::from_value(requirement.into()).map_err(|error| PolicyError::Shape(error.to_string()))?;
            let keys = keys(&signed, dir, now)?;
            let identity = Identity::of(signed.signed_identity.as_ref(), reference)?;
            Ok(Some(Demand::Signature(Signature { keys, identity })))
        }
        other => Err(PolicyError::NotJudged(other.to_owned()).into()),
    }
}

fn keys(signed: &SigstoreSigned, dir: &Path, now: u64) -> Result<Vec<PublicKey>, Error> {
    let paths = signed.key_path.iter().chain(signed.key_paths.iter().flatten());
    let datas = signed.key_data.iter().chain(signed.key_datas.iter().flatten());
    let given = [signed.key_path.is_some(), signed.key_paths.is_some(), signed.key_data.is_some(), signed.key_datas.is_some()];
    if given.into_iter().filter(|given| *given).count() != 1 {
        return Err(PolicyError::Shape(
            "a `sigstoreSigned` has not exactly one of keyPath, keyPaths, keyData, keyDatas".to_owned(),
        )
        .into());
    }
    let mut keys = Vec::new();
    for path in paths {
        keys.push(KeyFile::read(&dir.join(path))?.public(now)?);
    }
    for data in datas {
        let text = STANDARD.decode(data).map_err(|_| PolicyError::Shape("its keyData is no base64".to_owned()))?;
        keys.push(KeyFile::of("keyData", &text).public(now)?);
    }
    if keys.is_empty() {
        return Err(PolicyError::Shape("a `sigstoreSigned` has no key".to_owned()).into());
    }
    Ok(keys)
}
