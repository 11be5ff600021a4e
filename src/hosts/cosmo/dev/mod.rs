//! The two ends of the loop from a change of the sources to a router that runs it.
//!
//! - [`sources`]: waits for a change.
//! - [`touch`]: changes the version in a router's execution configuration, which makes the router start its plugins anew.

pub mod sources;
pub mod touch;
