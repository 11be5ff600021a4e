//! Signatures: made, verified, refused.

mod consumers;
mod faults;
mod foreign;
mod forms;
mod keys;
mod policy;
pub mod scene;
mod signer;
mod signing;
