//! The formats of bills of materials.

use plugin_oci::signatures::statement::SBOMS;

/// The name by which bills of ours are known.
pub const TOOL: &str = env!("CARGO_PKG_NAME");

/// The format of a bill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `CycloneDX` 1.6, JSON.
    #[default]
    CycloneDx,
    /// SPDX 2.3, JSON.
    Spdx,
}

impl Format {
    /// Every format, in the order of the help text.
    pub const ALL: [Self; 2] = [Self::CycloneDx, Self::Spdx];

    /// The word on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CycloneDx => "cyclonedx",
            Self::Spdx => "spdx",
        }
    }

    /// The media type (RFC 6838) of the document, and the attachment's artifact type.
    pub const fn media_type(self) -> &'static str {
        self.names().0
    }

    /// What an in-toto statement about an image calls it (in-toto/attestation, `spec/predicates`).
    pub const fn predicate_type(self) -> &'static str {
        self.names().1
    }

    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::CycloneDx => SBOMS[0],
            Self::Spdx => SBOMS[1],
        }
    }

    /// The file name of the document.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::CycloneDx => "sbom.cdx.json",
            Self::Spdx => "sbom.spdx.json",
        }
    }
}
