//! Values: checked where they are made, no input or output.

pub mod compression;
pub mod digest;
pub mod epoch;
pub mod percent;
pub mod platform;
pub mod reference;
pub mod tag;
pub mod text;
