//! Signatures: made, verified, refused.

mod consumers;
mod faults;
mod keys;
mod scene;
mod signing;
