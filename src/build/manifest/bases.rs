//! Which image each platform is built on.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use plugin_oci::values::platform::Platform;
use plugin_oci::values::reference::Reference;

/// One base, or one for each platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bases {
    /// The same for all.
    All(Reference),
    /// Each its own; a platform that is not named has none.
    Each(BTreeMap<Platform, Reference>),
}

impl Bases {
    /// The base of a platform.
    pub fn of(&self, platform: &Platform) -> Option<&Reference> {
        match self {
            Self::All(base) => Some(base),
            Self::Each(bases) => {
                let serving = bases.iter().filter_map(|(own, base)| Some((own.distance(platform)?, base)));
                serving.min_by_key(|(distance, _)| *distance).map(|(_, base)| base)
            }
        }
    }

    /// Every base that is named.
    pub fn named(&self) -> Vec<&Reference> {
        match self {
            Self::All(base) => vec![base],
            Self::Each(bases) => bases.values().collect(),
        }
    }
}

/// As the configuration has it.
impl Serialize for Bases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All(base) => serializer.collect_str(base),
            Self::Each(bases) => {
                serializer.collect_map(bases.iter().map(|(platform, base)| (platform.to_string(), base.to_string())))
            }
        }
    }
}
