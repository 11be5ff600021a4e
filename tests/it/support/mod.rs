//! What several test modules share.

#[path = "../../../fixtures/hostile/archive.rs"]
pub mod archive;
pub mod program;
pub mod project;
pub mod recorder;
pub mod tools;
pub mod trees;
