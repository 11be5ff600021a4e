//! Layers: a [`tree`] of files is packed into the bytes of a layer, and unpacked from them; [`mod@tar`] is what both know of
//! archives.

pub mod pack;
pub mod tar;
pub mod tree;
pub mod unpack;
