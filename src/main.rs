//! The `cargo plugin-build` program.
fn main() {}
