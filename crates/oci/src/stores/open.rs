//! From a reference to the store that it names.

use super::archive::{Archive, ArchiveWriter};
use super::bucket::{Bucket, Location};
use super::layout::{Layout, LayoutWriter, Obsolete};
use super::registry::{Client, Repository, Settings};
use super::{Sink, Source, StoreError};
use crate::environment::Environment;
use crate::failure::Complaint;
use crate::progress::Progress;
use crate::values::reference::{Reference, RegistryReference};

/// Everything that one command opens: registries share connections and tokens.
pub struct Stores<'a> {
    client: Client<'a>,
    environment: Environment,
    progress: &'a dyn Progress,
}

impl<'a> Stores<'a> {
    /// Nothing is open yet.
    pub fn new(settings: Settings, environment: &Environment, progress: &'a dyn Progress) -> Self {
        Self { client: Client::new(settings, environment, progress), environment: environment.clone(), progress }
    }

    /// Opens the store of a reference for reading.
    pub fn source(&self, reference: &Reference) -> Result<Box<dyn Source + '_>, StoreError> {
        match reference {
            Reference::Registry(registry) => Ok(Box::new(Repository::new(&self.client, registry))),
            local => source(local).map(|source| source as Box<dyn Source>),
        }
    }

    /// The connections to registries.
    pub fn client(&self) -> &Client<'a> {
        &self.client
    }

    /// Opens a bucket that is a registry.
    pub fn bucket(&self, location: &Location) -> Result<Bucket<'_>, StoreError> {
        Bucket::open(location, &self.environment, &self.client)
    }

    /// Opens a repository to remove from.
    pub fn remover(&self, repository: &RegistryReference) -> Repository<'_> {
        Repository::new(&self.client, repository).removing()
    }

    /// Opens the store of a reference for writing. Nothing changes before the commit.
    pub fn sink(&self, reference: &Reference) -> Result<Box<dyn Sink + '_>, StoreError> {
        match reference {
            Reference::Registry(registry) => Ok(Box::new(Repository::new(&self.client, registry).writing())),
            Reference::Layout(local) => Ok(Box::new(LayoutWriter::new(&local.path, Obsolete::Keep, self.progress)?)),
            Reference::Archive(local) => Ok(Box::new(ArchiveWriter::new(&local.path, self.progress)?)),
        }
    }
}

/// Opens a local store for reading, without anything that only registries need.
pub fn source(reference: &Reference) -> Result<Box<dyn Source>, StoreError> {
    match reference {
        Reference::Layout(local) => Ok(Box::new(Layout::open(&local.path)?)),
        Reference::Archive(local) => Ok(Box::new(Archive::open(&local.path)?)),
        Reference::Registry(_) => Err(not_local(reference)),
    }
}

fn not_local(reference: &Reference) -> StoreError {
    super::RemoteError::new(Complaint::usage(format!("`{reference}` is no local store"))).into()
}
