//! A registry of OCI images without state of its own: the objects of a bucket or directory are the registry, and what
//! `cargo plugin-build publish` writes is what it serves ([`plugin_oci::stores::bucket`]).
//!
//! # Floors
//!
//! A file imports from lower floors, or from its own floor without a cycle. A row is for a room and all below it that has no
//! row of its own.
//!
//! | floor | rooms | what |
//! |---|---|---|
//! | 0 | `clock`, `fault`, `names`, `keys`, `pattern`, `audit` | values, what goes wrong, and what is told of acts |
//! | 1 | `store` | objects, and lists that change by compare-and-swap |
//! | 2 | `uploads`, `auth`, `mirror` | what is being pushed, and by whom; where else to look |
//! | 3 | `gc` | what nothing reaches |
//! | 4 | `http` | requests and answers |
//! | 5 | `serve` | the program's own: a server of its flags |
//!
//! # Replicas
//!
//! Nothing outlives a request but in the store, and in the URL that a client goes on with: any number of processes with the same
//! keys over the same store are one registry.

#![warn(missing_docs)]

pub mod audit;
pub mod auth;
mod clock;
mod fault;
pub mod gc;
pub mod http;
pub mod keys;
pub mod mirror;
mod names;
pub mod pattern;
pub mod store;
mod uploads;
