//! Layers: a [`tree`] of files is packed into the bytes of a layer, and unpacked from them; [`mod@tar`] is what both know of
//! archives.
//!
//! ```
//! use plugin_oci::layers::pack::Packer;
//! use plugin_oci::layers::tree::{Mode, Tree};
//! use plugin_oci::layers::unpack::{ExtractOptions, Extraction, LayerInput};
//! use plugin_oci::progress::Silent;
//! use plugin_oci::values::compression::Compression;
//! use plugin_oci::values::epoch::Epoch;
//!
//! let mut files = Tree::builder();
//! files.bytes("bin/hello", "0755".parse::<Mode>()?, &b"#!/bin/sh\necho hello\n"[..])?;
//! let tree = files.finish()?;
//! let packer = Packer { compression: Compression::Zstd, epoch: Epoch::default(), workers: 2.try_into()? };
//! let (mut layer, mut again) = (Vec::new(), Vec::new());
//! let packed = packer.pack("hello", &tree, &mut layer, &Silent)?;
//! packer.pack("hello", &tree, &mut again, &Silent)?;
//! assert_eq!(layer, again);
//!
//! // Nothing of a layer is believed: its names, sizes and links are checked, and it must have this diff id.
//! let scratch = tempfile::tempdir()?;
//! let target = scratch.path().join("root");
//! let input =
//!     LayerInput { reader: Box::new(&layer[..]), compression: packer.compression, diff_id: Some(packed.diff_id) };
//! Extraction::begin(&target, ExtractOptions::default())?.apply(input)?.commit()?;
//! assert!(target.join("bin/hello").is_file());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod pack;
pub mod tar;
pub mod tree;
pub mod unpack;
