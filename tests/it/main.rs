//! Integration tests, one module per verb.
fn main() {}
