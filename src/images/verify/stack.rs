//! The layers of one image, applied together, to nothing, by the code that unpacks: what is said of a layer depends on those
//! below it.

use std::io;

use super::ahead::{Ahead, Wanted};
use plugin_oci::documents::{Config, Descriptor};
use plugin_oci::layers::unpack::{
    Bound, Entry, Exceeded, ExtractError, ExtractOptions, LayerFacts, LayerInput, Listing, READ_TOGETHER, Rehearsal,
    check_listed, read_entries,
};
use plugin_oci::stores::{Source, StoreError, Verified};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;

/// A layer, read ahead or to be read.
pub enum Input<'s> {
    Listed(Box<dyn Listing + 's>),
    Stored(Box<dyn io::Read + Send + 's>),
}

/// The archives of an image, lowest first.
#[derive(Default)]
pub struct Stack<'m> {
    layers: Vec<Stacked<'m>>,
    /// What all of them are: one stack is judged once, in whatever images it is.
    pub role: String,
    rehearsed: Rehearsed,
}

pub struct Stacked<'m> {
    pub at: &'m Descriptor,
    pub compression: Compression,
    pub diff_id: Option<Digest>,
}

/// How far the layers of a stack were applied.
#[derive(Default)]
enum Rehearsed {
    /// None of them.
    #[default]
    Nothing,
    /// The lowest so many.
    Layers(Box<Rehearsal>, usize),
    /// One of them is refused: what is above it can only be read.
    Refused,
}

impl<'m> Stack<'m> {
    pub fn push(&mut self, layer: Stacked<'m>, law: Option<&Config>) {
        let epoch = law.map(|config| config.spec().created());
        let Stacked { at, diff_id, .. } = &layer;
        let below = Digest::of(self.role.as_bytes());
        self.role = format!("{} {} {diff_id:?} {epoch:?} over {below}", at.media_type, at.digest);
        self.layers.push(layer);
    }

    /// The uppermost.
    pub fn top(&self) -> Option<&Stacked<'m>> {
        self.layers.last()
    }

    /// Whether nothing is known of what the uppermost layer lies on.
    pub const fn is_refused(&self) -> bool {
        matches!(self.rehearsed, Rehearsed::Refused)
    }

    /// Judges the uppermost layer over those below it. What is wrong with these was said when each was the uppermost.
    pub fn read(
        &mut self,
        from: (&dyn Source, &Ahead<'_>),
        input: Input<'_>,
        (again, is_new): (&mut u64, bool),
        visit: &mut dyn FnMut(&Entry),
    ) -> Result<(), ExtractError> {
        let Some((top, below)) = self.layers.split_last() else { return Ok(()) };
        let options = ExtractOptions::default();
        let (mut rehearsal, applied) = match std::mem::replace(&mut self.rehearsed, Rehearsed::Refused) {
            Rehearsed::Nothing => (Box::new(Rehearsal::begin(options)?), 0),
            Rehearsed::Layers(rehearsal, applied) => (rehearsal, applied),
            Rehearsed::Refused => return top.look(input, visit),
        };
        for lower in &below[applied..] {
            let applied = lower.open(from).map(|input| lower.apply(&mut rehearsal, input, &mut |_| {}));
            let Ok(Ok(facts)) = applied else { return top.look(input, visit) };
            *again = again.saturating_add(facts.tar_size);
            is_within(*again)?;
        }
        if !is_new {
            is_within(*again)?;
        }
        let before = rehearsal.unpacked();
        let applied = top.apply(&mut rehearsal, input, visit);
        if !is_new {
            // Whatever was wrong with it.
            *again = again.saturating_add(rehearsal.unpacked() - before);
        }
        applied?;
        self.rehearsed = Rehearsed::Layers(rehearsal, self.layers.len());
        Ok(())
    }
}

/// Whether layers that several images share may still be read again for each of them.
fn is_within(again: u64) -> Result<(), ExtractError> {
    let exceeded = Exceeded { what: Bound::ReadTogether, allowed: READ_TOGETHER };
    if again > READ_TOGETHER { Err(exceeded.into()) } else { Ok(()) }
}

impl Stacked<'_> {
    /// What it is called among what is read ahead.
    pub fn wanted(&self) -> Wanted {
        Wanted::layer(self.at, self.compression, self.diff_id.as_ref())
    }

    /// What is read of it ahead, or its bytes.
    pub fn open<'s>(&self, (source, ahead): (&'s dyn Source, &'s Ahead<'_>)) -> Result<Input<'s>, StoreError> {
        match ahead.layer(&self.wanted()) {
            Some(listing) => Ok(Input::Listed(Box::new(listing))),
            None => source.open(self.at).map(Input::Stored),
        }
    }

    fn apply(
        &self,
        rehearsal: &mut Rehearsal,
        input: Input<'_>,
        visit: &mut dyn FnMut(&Entry),
    ) -> Result<LayerFacts, ExtractError> {
        match input {
            Input::Listed(mut listing) => rehearsal.apply_listed(listing.as_mut(), visit),
            Input::Stored(stored) => rehearsal.apply(self.layer(stored), visit),
        }
    }

    /// Judges it without the layers below.
    fn look(&self, input: Input<'_>, visit: &mut dyn FnMut(&Entry)) -> Result<(), ExtractError> {
        match input {
            Input::Listed(mut listing) => check_listed(listing.as_mut(), &ExtractOptions::default(), visit).map(drop),
            Input::Stored(stored) => {
                let mut visit = |entry: &Entry, _: &mut dyn io::Read| {
                    visit(entry);
                    Ok(())
                };
                read_entries(self.layer(stored), &ExtractOptions::default(), &mut visit).map(drop)
            }
        }
    }

    fn layer<'s>(&self, stored: Box<dyn io::Read + Send + 's>) -> LayerInput<'s> {
        let reader = Box::new(Verified::new(stored, self.at));
        LayerInput { reader, compression: self.compression, diff_id: self.diff_id.clone() }
    }
}
