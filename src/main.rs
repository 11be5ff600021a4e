//! The `cargo plugin-build` program: the command line above the library. A crate of its own, so that a change of it compiles
//! nothing else again.

mod cli;

use plugin_build::{build, hosts, images, templates};

fn main() -> std::process::ExitCode {
    cli::main()
}
