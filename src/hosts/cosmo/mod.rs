//! Everything about the Cosmo Router in one room.
//!
//! - [`rules`]: what its kind of plugin must be.
//! - [`contract`]: schema, proto and mapping, which whoever composes a graph wants.
//! - [`agreement`]: whether those three say the same.
//! - [`generate`]: proto, mapping and lock made of the schema.
//! - [`generated`]: their files in a package, written and compared.
//! - [`execution`]: which images the router's configuration names.
//! - [`process`]: a plugin's process as the router starts it and speaks with it.
//! - [`run`]: an image's plugin started that way.
//! - [`dev`]: what tells that a plugin must be built again, and what tells a router that it was.

pub mod agreement;
pub mod contract;
pub mod dev;
pub mod execution;
pub mod generate;
pub mod generated;
pub mod process;
pub mod rules;
pub mod run;
