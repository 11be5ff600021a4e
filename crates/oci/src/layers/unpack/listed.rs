//! Entries of a layer without their content: a layer that many images share is read once, and gone through for each.

use super::LayerFacts;
use super::error::ExtractError;
use crate::layers::tar::{RawEntry, Stream};

/// A layer that was read, or is being read.
pub trait Listing {
    /// Calls `visit` with each entry, in archive order, and tells what the layer turned out to be. What is wrong with the layer
    /// comes after the entries before it.
    fn each(&mut self, visit: &mut dyn FnMut(&RawEntry) -> Result<(), ExtractError>) -> Result<LayerFacts, ExtractError>;
}

/// A stream without bytes, for entries whose content is not there.
pub(super) struct Nothing;

impl Stream for Nothing {
    type Error = ExtractError;

    fn fill(&mut self) -> Result<&[u8], ExtractError> {
        Ok(&[])
    }

    fn consume(&mut self, _: usize) {}
}
