//! From Rust plugin sources to a verified OCI image, without Docker or any daemon.
//!
//! # Floors
//!
//! A file imports from lower floors, or from its own floor without a cycle. `tests/it/architecture.rs` keeps this.
//!
//! | floor | what | modules |
//! |---|---|---|
//! | 0 | values, no I/O | [`digest`], [`platform`], [`mod@reference`], [`epoch`], [`environment`], [`compression`], [`progress`], [`finding`], [`failure`], [`text`] |
//! | 1 | documents and disk | [`oci`], [`fs`], [`anchor`], [`lock`], [`interrupt`], [`hints`], [`untar`], [`repository`] |
//! | 2 | stores | [`store`] |
//! | 3 | making | [`tree`], [`layer`], [`image`], [`bundle`], [`toolchain`], [`kind`], [`plugin`], [`hermetic`], [`plan`], [`compile`], [`executable`] |
//! | 3 | reading what was made | [`extract`] |
//! | 3 | running | [`templates`], [`attachment`], [`host`] |
//! | 4 | operations | [`ops`] |
//! | 5 | user | [`cli`] |

pub mod anchor;
pub mod attachment;
pub mod bundle;
pub mod cli;
pub mod compile;
pub mod compression;
pub mod digest;
pub mod environment;
pub mod epoch;
pub mod executable;
pub mod extract;
pub mod failure;
pub mod finding;
pub mod fs;
pub mod hermetic;
pub mod hints;
pub mod host;
pub mod image;
pub mod interrupt;
pub mod kind;
pub mod layer;
pub mod lock;
pub mod oci;
pub mod ops;
pub mod plan;
pub mod platform;
pub mod plugin;
pub mod progress;
pub mod reference;
pub mod repository;
pub mod store;
pub mod templates;
pub mod text;
pub mod toolchain;
pub mod tree;
pub mod untar;
