//! What is done with images that exist: one module each, `fn(options, &dyn Progress) -> Result<Report, Error>`.
//!
//! Options are decided values, reports are serialisable values; nothing here prints or reads the environment.

pub mod attach;
pub mod attached;
pub mod copy;
pub mod diff;
pub mod inspect;
pub mod install;
pub mod login;
mod program;
pub mod rebuild;
pub mod remove;
pub mod run;
pub mod sign;
pub mod signer;
pub mod unpack;
pub mod verify;
