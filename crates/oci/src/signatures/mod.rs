//! Signatures: who says what of an image.
//!
//! What a key says is a [`statement`] about the image's digest. It lies beside the image in one of three forms, as their readers
//! look for it:
//!
//! | form | where | who reads it |
//! |---|---|---|
//! | [`bundle`] | a referrer | cosign 3, sigstore's libraries |
//! | [`simple`] | the tag `sha256-<hex>.sig` | cosign 2, skopeo, podman, CRI-O |
//! | [`notation`] | a referrer | notation |
//!
//! The image itself never changes. Nothing that is written here depends on when or where: signing twice gives the same bytes.
//! Whatever is read is judged by a key from elsewhere; what is wrong with it is a [`Fault`], each kind with a rule of its own.

pub mod bundle;
mod dsse;
pub mod evidence;
mod fault;
pub mod keys;
pub mod notation;
pub mod simple;
pub mod statement;

pub use fault::Fault;
