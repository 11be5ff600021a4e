//! What several test modules share.

pub mod program;
pub mod tools;
pub mod trees;
