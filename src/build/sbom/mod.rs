//! What was compiled into a plugin, as software bills of materials.
//!
//! The truth is what cargo says that it compiled ([`Unit`]), not the lock file: of a package it tells for which target, and with
//! which features. The graph of `cargo metadata` adds who depends on whom, licences and sources. It is asked for once and kept
//! with what the next build need not find out again ([`record`]).
//!
//! - [`graph`]: packages of one target; those that are linked are `required`, those that only build it `excluded`.
//! - [`purl`]: what a package is called everywhere.
//! - [`bill`]: packages, compiler, C library and files of all platforms of an image.
//! - [`auditable`]: the packages of one program, for a section of its own.
//! - [`cyclonedx`], [`spdx`]: the two formats. No clock, no serial number, no directory of the machine.
//!
//! [`Unit`]: unit::Unit

pub mod auditable;
pub mod bill;
pub mod cyclonedx;
pub mod format;
pub mod graph;
pub mod licence;
pub mod purl;
pub mod record;
pub mod sorted;
pub mod spdx;
pub mod unit;

use bill::Bill;
use format::Format;

/// A bill in a format, canonical.
pub fn document(bill: &Bill, format: Format) -> Vec<u8> {
    match format {
        Format::CycloneDx => cyclonedx::document(bill),
        Format::Spdx => spdx::document(bill),
    }
}
