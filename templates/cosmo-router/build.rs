//! Turns the two protocols into Rust.

use std::error::Error;

/// The plugin's own service, written by `cargo plugin-build generate` from the schema, and the host's control service.
const PROTOCOLS: [&str; 2] = ["generated/service.proto", "proto/controller.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for protocol in PROTOCOLS {
        println!("cargo::rerun-if-changed={protocol}");
        let descriptors = protox::compile([protocol], ["."])?;
        tonic_prost_build::configure().compile_fds(descriptors)?;
    }
    Ok(())
}
