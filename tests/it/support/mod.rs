//! What several test modules share.

pub mod program;
pub mod project;
pub mod recorder;
pub mod tools;
pub mod trees;
