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
use plugin_oci::documents::json;
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::fs::FileError;
use plugin_oci::signatures::keys::{KeyFile, PublicKey};
use plugin_oci::values::reference::Reference;

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
    Signature,
    Sbom,
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

fn of_tables(text: &str, dir: &Path, now: u64) -> Result<Vec<Demand>, Error> {
    let tables: Tables = toml::from_str(text).map_err(|error| PolicyError::Shape(error.to_string()))?;
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
