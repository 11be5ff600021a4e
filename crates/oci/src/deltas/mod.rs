//! Deltas: layers made of others that are at hand, so that an update costs what changed.
//!
//! A delta is an attachment of the new image's root, of type [`ARTIFACT_TYPE`]: one layer for each layer that it makes, a
//! [patch](patch::Patch) over the uncompressed tars, with annotations that say which. Since the bytes of a layer are a function
//! of its tar and of a frozen format ([`crate::layers::pack`]), the receiver makes the very blob that the manifest names.
//! Layers that another tool compressed travel whole. `docs/src/reference/deltas.md` is the law.
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | what a delta says of itself |
//! | `matching.rs` | what two tars have in common |
//! | `patch.rs` | the bytes of a patch, written and read |
//! | `make.rs` | [`Offer`]: deltas for whoever has something else |
//! | `candidate.rs` | what a store offers, read when it is chosen |
//! | `bases.rs` | [`Bases`]: what is at hand |
//! | `rebuilt.rs` | [`Rebuilt`]: a source that has what it can make |

mod bases;
mod candidate;
mod error;
mod make;
mod matching;
pub mod patch;
mod rebuilt;

pub use bases::{Bases, Stored};
pub use candidate::{Candidate, offered};
pub use error::DeltaError;
pub use make::Offer;
pub use rebuilt::Rebuilt;

use crate::documents::Descriptor;
use crate::layers::pack::{FORMAT, FORMAT_KEY};
use crate::values::compression::Compression;
use crate::values::digest::Digest;

/// What kind of attachment a delta is.
pub const ARTIFACT_TYPE: &str = "application/vnd.cargo-plugin-build.delta.v1";
/// The media type of a patch.
pub const MEDIA_TYPE: &str = "application/vnd.cargo-plugin-build.patch.v1+zstd";

/// Annotation of a delta: for each patch the layer's digest, the base's diff id and the patch's size, with a space between them
/// and a comma before the next.
const MAKES_KEY: &str = "dev.cargo-plugin-build.delta.makes";
/// Annotation of a patch: digest of the layer that it makes.
const LAYER_KEY: &str = "dev.cargo-plugin-build.delta.layer";
/// Annotation of a patch: that layer's diff id.
const DIFF_ID_KEY: &str = "dev.cargo-plugin-build.delta.diff-id";
/// Annotation of a patch: diff id of what it applies to.
const BASE_KEY: &str = "dev.cargo-plugin-build.delta.base";
/// Annotation of a patch: how the layer is compressed.
const COMPRESSION_KEY: &str = "dev.cargo-plugin-build.delta.compression";

/// A patch of a delta, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The layer that it makes.
    pub layer: Digest,
    /// That layer's diff id.
    pub diff_id: Digest,
    /// The diff id of what it applies to.
    pub base: Digest,
    /// How the layer is compressed.
    pub compression: Compression,
    /// The patch.
    pub patch: Descriptor,
}

impl Delta {
    /// What a patch says that it is for; `None` for anything that this version cannot use.
    fn of(patch: &Descriptor) -> Option<Self> {
        let stated = |key: &str| patch.annotations.get(key);
        let digest = |key: &str| stated(key)?.parse::<Digest>().ok();
        (patch.media_type == MEDIA_TYPE && stated(FORMAT_KEY)? == FORMAT).then_some(())?;
        Some(Self {
            layer: digest(LAYER_KEY)?,
            diff_id: digest(DIFF_ID_KEY)?,
            base: digest(BASE_KEY)?,
            compression: stated(COMPRESSION_KEY)?.parse().ok()?,
            patch: patch.clone(),
        })
    }

    fn annotations(&self) -> [(&'static str, String); 5] {
        [
            (LAYER_KEY, self.layer.to_string()),
            (DIFF_ID_KEY, self.diff_id.to_string()),
            (BASE_KEY, self.base.to_string()),
            (COMPRESSION_KEY, self.compression.to_string()),
            (FORMAT_KEY, FORMAT.to_owned()),
        ]
    }
}
