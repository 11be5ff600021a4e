//! From Rust plugin sources to a verified OCI image, without Docker or any daemon. The library of the program
//! `cargo-plugin-build`: internal, and free to change; what others may build on is [`plugin_oci`].
//!
//! # Floors
//!
//! A file imports from lower floors, or from its own floor without a cycle; `tests/it/architecture.rs` keeps this. A row is
//! for a room and all below it that has no row of its own.
//!
//! | floor | rooms | what |
//! |---|---|---|
//! | 1 | `hosts::cosmo::rules`, `hosts::cosmo::agreement`, `hosts::cosmo::contract`, `hosts::cosmo::process`, `hosts::cosmo::generate` | what a host wants of a plugin |
//! | 2 | `build` | manifest, toolchain, plan, compile, inspect, assemble |
//! | 3 | `templates` | new packages |
//! | 3 | `images`, `hosts` | what is done with images that exist |
//! | 4 | `cli` | arguments, terminal, exit codes: the crate of `src/main.rs` |
//!
//! Below all of them is the crate `plugin-oci`, which has a table of its own.

pub mod build;
pub mod hosts;
pub mod images;
pub mod templates;
