//! From a reference to the store that it names.

use super::layout::Layout;
use super::{Source, StoreError};
use crate::failure::Complaint;
use crate::reference::Reference;

/// Opens the store of a reference for reading.
pub fn source(reference: &Reference) -> Result<Box<dyn Source>, StoreError> {
    match reference {
        Reference::Layout(local) => Ok(Box::new(Layout::open(&local.path)?)),
        other => Err(super::RemoteError::new(Complaint::usage(format!("cannot read `{other}` yet"))).into()),
    }
}
