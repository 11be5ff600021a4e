//! Signatures: made, verified, refused.

mod consumers;
mod faults;
mod forms;
mod keys;
mod scene;
mod signer;
mod signing;
