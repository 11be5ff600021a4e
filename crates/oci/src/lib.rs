//! OCI images as documents, layers and stores, with neither a command line nor a build tool.
//!
//! # Floors
//!
//! A file imports from lower floors, or from its own floor without a cycle. A row is for a room and all below it that has no
//! row of its own.
//!
//! | floor | rooms | what |
//! |---|---|---|
//! | 0 | `failure`, `finding`, `environment`, `values`, `progress`, `interrupt` | values |
//! | 1 | `documents`, `fs`, `layers::tar` | documents and disk |
//! | 2 | `layers`, `stores` | bytes and places |
//! | 3 | `attachments`, `listing` | what refers to images, and what a store holds |
//! | 4 | `signatures`, `deltas` | who says what of them, and layers made of others |
//! | 5 | `catalogue`, `trust` | pages for people, and whether an image is what keys have signed |

#![warn(missing_docs)]

pub mod attachments;
pub mod catalogue;
pub mod deltas;
pub mod documents;
pub mod environment;
pub mod failure;
pub mod finding;
pub mod fs;
pub mod interrupt;
pub mod layers;
pub mod listing;
pub mod progress;
pub mod signatures;
pub mod stores;
pub mod trust;
pub mod values;
