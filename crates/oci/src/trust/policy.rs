//! Policies in files: containers-policy.json(5), or TOML.
//!
//! The TOML is a cargo-deny's `deny.toml`, whose `[bans]` and `[licenses]` are held against the crates of the SBOM, with one table
//! more for what neither can say:
//!
//! ```toml
//! [images]
//! keys = ["release.pub"]                    # one of them signs; relative to this file
//! require = ["signature", "provenance"]     # what must be signed
//! ```

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::crates::{Bans, CrateRules, Licenses};
use super::error::PolicyError;
use super::identity::Identity;
use super::{Demand, Signature, containers};
use crate::documents::json;
use crate::failure::{Complaint, Error};
use crate::fs::FileError;
use crate::signatures::keys::{KeyFile, PublicKey};
use crate::values::reference::Reference;

#[derive(Deserialize)]
struct Tables {
    images: Option<Images>,
    bans: Option<Bans>,
    licenses: Option<Licenses>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Images {
    keys: Vec<PathBuf>,
    #[serde(default = "signature")]
    require: Vec<Required>,
}

/// What can be required of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Required {
    /// A signature of it.
    Signature,
    /// An SBOM.
    Sbom,
    /// Provenance.
    Provenance,
}

fn signature() -> Vec<Required> {
    vec![Required::Signature]
}

impl Required {
    /// The demand that it is there, signed by one of these keys.
    pub fn by(self, keys: &[PublicKey]) -> Demand {
        match self {
            Self::Signature => Demand::Signature(Signature { keys: keys.to_vec(), identity: Identity::Any }),
            Self::Sbom => Demand::Sbom(keys.to_vec()),
            Self::Provenance => Demand::Provenance(keys.to_vec()),
        }
    }
}

/// What the policy of a file asks of the image of a reference. `now` is in seconds since the epoch.
pub fn demands(path: &Path, reference: &Reference, now: u64) -> Result<Vec<Demand>, Error> {
    let text = std::fs::read_to_string(path).map_err(FileError::at("read", path))?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let demands = if text.trim_start().starts_with('{') {
        let policy = json::parse(text.as_bytes()).map_err(|error| PolicyError::Shape(error.to_string()).into());
        policy.and_then(|policy| containers::demands(policy, reference, dir, now))
    } else {
        of_tables(&text, dir, now)
    };
    demands.map_err(|error| Complaint::because(error, format!("cannot judge by the policy `{}`", path.display())).into())
}

/// Tables that are read here, and those that cargo-deny reads.
const TABLES: &[&str] = &[
    "images",
    "bans",
    "licenses",
    "advisories",
    "sources",
    "graph",
    "output",
    "targets",
    "exclude",
    "all-features",
    "no-default-features",
    "features",
    "feature-depth",
];
/// Keys of cargo-deny. Those that are passed over speak of a graph, of manifests or of build scripts, or only allow.
const BANS: &[&str] = &[
    "deny",
    "allow",
    "skip",
    "multiple-versions",
    "multiple-versions-include-dev",
    "wildcards",
    "allow-wildcard-paths",
    "highlight",
    "allow-workspace",
    "skip-tree",
    "features",
    "workspace-default-features",
    "external-default-features",
    "workspace-dependencies",
    "build",
];
const LICENSES: &[&str] = &[
    "allow",
    "exceptions",
    "clarify",
    "confidence-threshold",
    "include-build",
    "include-dev",
    "private",
    "unused-allowed-license",
    "unused-license-exception",
    "version",
];
/// What cargo-deny once judged licences by.
const FORMER: [&str; 5] = ["allow-osi-fsf-free", "copyleft", "default", "deny", "unlicensed"];

/// A key that nobody reads would be a rule that is not kept.
fn check_keys(policy: &toml::Table) -> Result<(), PolicyError> {
    let in_table = |name: &str| policy.get(name).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys);
    if let Some(key) = in_table("licenses").find(|key| FORMER.contains(&key.as_str())) {
        return Err(PolicyError::NotJudged(format!("licenses.{key}")));
    }
    let unknown = |mut keys: Box<dyn Iterator<Item = &String> + '_>, known: &[&str], above: &str| match keys
        .find(|key| !known.contains(&key.as_str()))
    {
        Some(key) => Err(PolicyError::Shape(format!("it has a key `{above}{key}`, which nothing reads"))),
        None => Ok(()),
    };
    unknown(Box::new(policy.keys()), TABLES, "")?;
    unknown(Box::new(in_table("bans")), BANS, "bans.")?;
    unknown(Box::new(in_table("licenses")), LICENSES, "licenses.")
}

fn of_tables(text: &str, dir: &Path, now: u64) -> Result<Vec<Demand>, Error> {
    let shape = |error: toml::de::Error| PolicyError::Shape(error.to_string());
    let policy: toml::Table = toml::from_str(text).map_err(shape)?;
    check_keys(&policy)?;
    let tables: Tables = policy.try_into().map_err(shape)?;
    let (mut demands, mut keys) = (Vec::new(), Vec::new());
    if let Some(images) = tables.images {
        for path in images.keys {
            keys.push(KeyFile::read(&dir.join(path))?.public(now)?);
        }
        if keys.is_empty() {
            return Err(PolicyError::Shape("`images.keys` names no key".to_owned()).into());
        }
        demands.extend(images.require.iter().map(|required| required.by(&keys)));
    }
    if tables.bans.is_some() || tables.licenses.is_some() {
        // What crates are in an image is known as well as its SBOM is signed.
        demands.push(Demand::Sbom(keys));
        demands.push(Demand::Crates(CrateRules::new(tables.bans, tables.licenses)?));
    }
    if demands.is_empty() {
        return Err(PolicyError::Shape("it has none of `[images]`, `[bans]` and `[licenses]`".to_owned()).into());
    }
    Ok(demands)
}
