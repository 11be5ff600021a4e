//! What is kept of a layer that is read once for all images that have it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use super::look::{Look, TEXT, is_setting, name_of, set_aside};
use plugin_oci::failure::Error;
use plugin_oci::layers::tar::{Flag, RawEntry};
use plugin_oci::layers::unpack::{Entry, ExtractError, ExtractOptions};

/// An entry of a layer, with what the loader would read of it.
pub struct Listed {
    /// As stated.
    pub raw: RawEntry,
    kept: Kept,
}

enum Kept {
    Nothing,
    Setting(Vec<u8>),
    Look(Look),
}

impl Listed {
    /// Keeps settings, and what a file of a name in `programs` is.
    pub fn of(raw: RawEntry, body: &mut dyn Read, programs: &BTreeSet<String>) -> io::Result<Self> {
        let name = String::from_utf8_lossy(&raw.name);
        let mut kept = Kept::Nothing;
        if raw.flag == Flag::File && is_setting(&format!("etc/{}", name_of(&name))) && raw.size <= TEXT {
            let mut bytes = Vec::new();
            body.read_to_end(&mut bytes)?;
            kept = Kept::Setting(bytes);
        } else if raw.flag == Flag::File && programs.contains(name_of(&name)) {
            match set_aside(raw.size, body) {
                Ok(look) => kept = Kept::Look(look),
                // Where there is no room for it, whoever wants to know finds out by itself.
                Err(error) if is_of_layer(&error) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(Self { raw, kept })
    }

    /// Whether it was looked into.
    pub const fn is_looked_into(&self) -> bool {
        matches!(self.kept, Kept::Look(_))
    }

    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        let kept = match &self.kept {
            Kept::Nothing => 0,
            Kept::Setting(bytes) => bytes.len(),
            Kept::Look(look) => look.weight(),
        };
        size_of::<Self>() + self.raw.name.len() + self.raw.link.len() + kept
    }
}

/// Whether it is the layer that cannot be read.
fn is_of_layer(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<ExtractError>()).is_some()
}

/// Told an entry, the content of a setting, and what a program is.
pub(super) type Visit<'v> = dyn FnMut(&Entry, &[u8], Option<&Look>) -> io::Result<()> + 'v;

/// All entries of a layer.
pub struct Known {
    lots: Vec<Arc<Vec<Listed>>>,
    looks: Mutex<BTreeMap<String, Look>>,
}

impl Known {
    /// A layer whose entries these are.
    pub fn new(lots: Vec<Arc<Vec<Listed>>>) -> Self {
        Self { lots, looks: Mutex::default() }
    }

    /// Goes through every entry.
    pub(super) fn each(&self, visit: &mut Visit<'_>) -> Result<(), Error> {
        for listed in self.lots.iter().flat_map(|lot| lot.iter()) {
            let entry = Entry::of(&listed.raw, &ExtractOptions::default())?;
            let (content, look) = match &listed.kept {
                Kept::Nothing => (&[][..], None),
                Kept::Setting(bytes) => (bytes.as_slice(), None),
                Kept::Look(look) => (&[][..], Some(look)),
            };
            visit(&entry, content, look).map_err(|error| ExtractError::from_visit(&entry.path, error))?;
        }
        Ok(())
    }

    /// What is known of files.
    pub(super) fn looks(&self, paths: &BTreeSet<String>) -> BTreeMap<String, Look> {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        paths.iter().filter_map(|path| looks.get(path).map(|look| (path.clone(), look.clone()))).collect()
    }

    /// Spares other images with the same layer another look.
    pub(super) fn remember(&self, found: &BTreeMap<String, Look>) {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.extend(found.iter().map(|(path, look)| (path.clone(), look.clone())));
    }
}
