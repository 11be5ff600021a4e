//! Several sources as one: what is looked for is in the first that has it.

use std::io::Read;

use plugin_oci::documents::Descriptor;
use plugin_oci::fs::TempFile;
use plugin_oci::stores::staged::Bundle;
use plugin_oci::stores::{Selector, Source, StoreError, Tagged};
use plugin_oci::values::digest::Digest;

/// Sources, and an image that was made of theirs.
#[derive(Clone, Copy)]
pub(super) struct Union<'a> {
    sources: &'a [Box<dyn Source + 'a>],
    made: Option<&'a Bundle<'a>>,
    /// A repository that has everything already, because it was pushed to just now.
    earlier: Option<&'a str>,
}

impl<'a> Union<'a> {
    pub(super) fn new(sources: &'a [Box<dyn Source + 'a>], made: Option<&'a Bundle<'a>>) -> Self {
        Self { sources, made, earlier: None }
    }

    /// What was made comes first: it is at hand.
    fn all(&self) -> impl Iterator<Item = &'a dyn Source> {
        let made = self.made.map(|made| made as &dyn Source);
        made.into_iter().chain(self.sources.iter().map(|source| source.as_ref() as &dyn Source))
    }

    /// The one source, where nothing was made.
    fn only(&self) -> Option<&'a dyn Source> {
        let mut all = self.all();
        all.next().filter(|_| all.next().is_none())
    }

    /// The same, where blobs may be mounted from a repository that has them.
    pub(super) fn mounting_from(&self, earlier: Option<&'a str>) -> Self {
        Self { earlier, ..*self }
    }
}

impl Source for Union<'_> {
    fn name(&self) -> String {
        self.sources.iter().map(|source| source.name()).collect::<Vec<_>>().join(", ")
    }

    fn tags(&self) -> Result<Vec<Tagged>, StoreError> {
        Ok(Vec::new())
    }

    fn resolve(&self, selector: &Selector) -> Result<Descriptor, StoreError> {
        Err(StoreError::NotFound { store: self.name(), wanted: format!("{selector:?}"), available: Vec::new() })
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, StoreError> {
        for source in self.all() {
            match source.open(descriptor) {
                Err(StoreError::MissingBlob { .. }) => {}
                found => return found,
            }
        }
        Err(StoreError::MissingBlob { store: self.name(), digest: descriptor.digest.to_string() })
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        let mut found = Vec::new();
        for source in self.all() {
            found.extend(source.referrers(subject)?);
        }
        found.sort_by(|a, b| a.digest.cmp(&b.digest));
        found.dedup_by(|a, b| a.digest == b.digest);
        Ok(found)
    }

    fn take_staged(&self, digest: &Digest) -> Option<TempFile> {
        self.sources.iter().find_map(|source| source.take_staged(digest))
    }

    fn resumes(&self) -> bool {
        self.only().is_some_and(Source::resumes)
    }

    fn open_from(&self, descriptor: &Descriptor, offset: u64) -> Result<Option<Box<dyn Read + Send + '_>>, StoreError> {
        match self.only() {
            Some(only) => only.open_from(descriptor, offset),
            None if offset == 0 => self.open(descriptor).map(Some),
            None => Ok(None),
        }
    }

    fn parallelism(&self) -> usize {
        self.all().map(Source::parallelism).max().unwrap_or(1)
    }

    fn repository(&self) -> Option<String> {
        let own = match self.sources {
            [only] => only.repository(),
            _ => None,
        };
        own.or_else(|| self.earlier.map(str::to_owned))
    }
}
