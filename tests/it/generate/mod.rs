//! The contract of a Cosmo Router plugin from its schema: byte for byte what the router's own generator writes.

pub mod cases;
mod compare;
mod golden;
mod hostile;
mod invent;
mod oracle;
mod stale;
mod verb;

use plugin_build::hosts::cosmo::generate::Options;

/// The options of every case.
fn options() -> Options {
    Options::of_plugin("my-plugin")
}
