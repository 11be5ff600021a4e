//! How a layer's tar is compressed, and the media type that says so.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A layer's compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// RFC 1952, read by everything.
    #[default]
    Gzip,
    /// RFC 8878, smaller and faster, read by everything current.
    Zstd,
    /// A plain tar.
    None,
}

impl Compression {
    /// Every compression, in the order of the help text.
    pub const ALL: [Self; 3] = [Self::Gzip, Self::Zstd, Self::None];

    /// The word on the command line and in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::None => "none",
        }
    }

    /// The OCI layer media type.
    pub const fn layer_media_type(self) -> &'static str {
        match self {
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
            Self::None => "application/vnd.oci.image.layer.v1.tar",
        }
    }

    /// The compression that a layer media type states, OCI's or Docker's; `None` for anything that is no layer tar.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        const NON_DISTRIBUTABLE: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
        let base = media_type.strip_prefix(NON_DISTRIBUTABLE).map(|rest| format!("application/vnd.oci.image.layer.v1.tar{rest}"));
        let media_type = base.as_deref().unwrap_or(media_type);
        match media_type {
            "application/vnd.docker.image.rootfs.diff.tar.gzip" | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => {
                Some(Self::Gzip)
            }
            "application/vnd.docker.image.rootfs.diff.tar.zstd" => Some(Self::Zstd),
            "application/vnd.docker.image.rootfs.diff.tar" => Some(Self::None),
            _ => Self::ALL.into_iter().find(|c| c.layer_media_type() == media_type),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|c| c.as_str() == text).ok_or_else(|| format!("`{text}` is none of gzip, zstd, none"))
    }
}
