//! Reading ahead, on all cores: each blob of some images once, whatever number of them it is in.
//!
//! Blobs are read in the order in which they will be wanted. Of a layer its entries are kept, as long as all that is kept has
//! room; a layer that has none is gone through while it is read, and whoever wants it once more reads it again. What cannot be
//! read is left to whoever wants it, who then says why.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, available_parallelism};

use crate::build::start::{Known, Listed};
use plugin_oci::documents::Descriptor;
use plugin_oci::layers::tar::RawEntry;
use plugin_oci::layers::unpack::{ExtractError, LayerFacts, LayerInput, Limits, Listing, read_raw};
use plugin_oci::stores::{Source, Verified};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;

/// Bytes of memory for all entries that are kept.
const KEPT: usize = 16 << 20;
/// Bytes of those that are handed over together.
const LOT: usize = 64 << 10;
/// Files of a layer that are looked into while it is read.
const LOOKS: usize = 16;
/// Blobs that are read at once: each takes some megabytes for buffers.
const AT_ONCE: usize = 4;

/// A blob that will be wanted, and as what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    digest: Digest,
    size: u64,
    /// Of a layer: how it is compressed, and its diff id.
    layer: Option<(&'static str, Option<Digest>)>,
}

impl Wanted {
    /// Nothing but bytes.
    pub fn bytes(at: &Descriptor) -> Self {
        Self { digest: at.digest.clone(), size: at.size, layer: None }
    }

    /// The entries of a layer.
    pub fn layer(at: &Descriptor, compression: Compression, diff_id: Option<&Digest>) -> Self {
        Self { layer: Some((compression.as_str(), diff_id.cloned())), ..Self::bytes(at) }
    }
}

/// Blobs of a source that are read ahead.
pub struct Ahead<'a> {
    source: &'a dyn Source,
    jobs: Vec<Job>,
    numbers: BTreeMap<Wanted, usize>,
    state: Mutex<State>,
    changed: Condvar,
}

struct Job {
    at: Descriptor,
    layer: Option<(Compression, Option<Digest>)>,
    /// Names of files that are looked into.
    programs: BTreeSet<String>,
}

#[derive(Default)]
struct State {
    /// The next one to read.
    next: usize,
    /// The one that is gone through, and the last that was.
    current: usize,
    furthest: usize,
    /// Bytes of memory.
    held: usize,
    is_over: bool,
    blobs: Vec<Blob>,
}

/// A blob on its way.
#[derive(Default)]
struct Blob {
    /// How often it will be wanted.
    users: usize,
    lots: VecDeque<(Arc<Vec<Listed>>, usize)>,
    /// How many lots were dropped.
    dropped: usize,
    /// Somebody waits for the next lot.
    is_wanted: bool,
    end: End,
    known: Option<Arc<Known>>,
}

/// How reading ended.
#[derive(Default)]
enum End {
    #[default]
    Running,
    /// Its bytes are sound; of a layer with what it turned out to be.
    Sound(Option<LayerFacts>),
    /// It is no sound layer; to be told once.
    Unsound(ExtractError),
    /// Nothing is known of it.
    Absent,
}

impl<'a> Ahead<'a> {
    /// Nothing is wanted yet.
    pub fn of(source: &'a dyn Source) -> Self {
        Self { source, jobs: Vec::new(), numbers: BTreeMap::new(), state: Mutex::default(), changed: Condvar::new() }
    }

    /// Wants a blob.
    pub fn want_bytes(&mut self, at: &Descriptor) {
        self.want(Wanted::bytes(at), at, None);
    }

    /// Wants a layer, and what files of some name in it are.
    pub fn want_layer(&mut self, at: &Descriptor, compression: Compression, diff_id: Option<&Digest>, program: Option<&str>) {
        let number = self.want(Wanted::layer(at, compression, diff_id), at, Some((compression, diff_id.cloned())));
        self.jobs[number].programs.extend(program.map(str::to_owned));
    }

    fn want(&mut self, wanted: Wanted, at: &Descriptor, layer: Option<(Compression, Option<Digest>)>) -> usize {
        let Self { jobs, numbers, state, .. } = self;
        let state = state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let number = *numbers.entry(wanted).or_insert_with(|| {
            let at = Descriptor { data: None, ..at.clone() };
            jobs.push(Job { at, layer, programs: BTreeSet::new() });
            state.blobs.push(Blob::default());
            jobs.len() - 1
        });
        state.blobs[number].users += 1;
        number
    }

    /// Runs `work` while blobs are read.
    pub fn run(&self, work: impl FnOnce()) {
        let cores = available_parallelism().map_or(1, usize::from);
        let workers = cores.max(self.source.parallelism()).min(AT_ONCE).min(self.jobs.len());
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| while self.read_next() {});
            }
            let _over = Over(self);
            work();
        });
    }

    /// Whether the bytes of a blob are sound; false also where that is not known.
    pub fn is_sound(&self, wanted: &Wanted) -> bool {
        let Some(&number) = self.numbers.get(wanted) else { return false };
        let mut state = self.turn_to(number);
        while matches!(state.blobs[number].end, End::Running) {
            state = self.more(state, number);
        }
        matches!(state.blobs[number].end, End::Sound(_))
    }

    /// The entries of a layer, if it is being read and they are still there.
    pub fn layer(&self, wanted: &Wanted) -> Option<impl Listing + '_> {
        let number = *self.numbers.get(wanted)?;
        let mut state = self.turn_to(number);
        loop {
            let blob = &state.blobs[number];
            match blob.end {
                _ if blob.dropped > 0 => return None,
                End::Absent => return None,
                End::Running if blob.lots.is_empty() => state = self.more(state, number),
                _ => return Some(Reading { ahead: self, number }),
            }
        }
    }

    /// All that is known of a layer, if all of it still is.
    pub fn known(&self, wanted: &Wanted) -> Option<Arc<Known>> {
        let number = *self.numbers.get(wanted)?;
        let blob = &mut self.state().blobs[number];
        let is_whole = blob.dropped == 0 && matches!(blob.end, End::Sound(_));
        let lots = || Arc::new(Known::new(blob.lots.iter().map(|(lot, _)| Arc::clone(lot)).collect()));
        is_whole.then(|| Arc::clone(blob.known.get_or_insert_with(lots)))
    }

    /// One of those that wanted a blob wants it no longer.
    pub fn release(&self, wanted: &Wanted) {
        let Some(&number) = self.numbers.get(wanted) else { return };
        let mut state = self.state();
        let blob = &mut state.blobs[number];
        blob.users = blob.users.saturating_sub(1);
        if blob.users == 0 {
            blob.known = None;
            state.drop_lots(number);
            self.changed.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn_to(&self, number: usize) -> MutexGuard<'_, State> {
        let mut state = self.state();
        state.current = number;
        state.furthest = state.furthest.max(number);
        self.changed.notify_all();
        state
    }

    /// Waits for more of a blob, which must come then, whether there is room for it or not.
    fn more<'g>(&self, mut state: MutexGuard<'g, State>, number: usize) -> MutexGuard<'g, State> {
        state.blobs[number].is_wanted = true;
        self.changed.notify_all();
        self.wait(state)
    }

    fn wait<'g>(&self, state: MutexGuard<'g, State>) -> MutexGuard<'g, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads one more blob; whether there was one.
    fn read_next(&self) -> bool {
        let number = {
            let mut state = self.state();
            if state.is_over || state.next == self.jobs.len() {
                return false;
            }
            state.next += 1;
            state.next - 1
        };
        let mut ending = Ending { ahead: self, number, end: End::Absent };
        let job = &self.jobs[number];
        if self.state().blobs[number].users > 0
            && let Ok(stored) = self.source.open(&job.at)
        {
            let mut reader = Verified::new(stored, &job.at);
            ending.end = match &job.layer {
                None => io::copy(&mut reader, &mut io::sink()).map_or(End::Absent, |_| End::Sound(None)),
                Some((compression, diff_id)) => {
                    let (compression, diff_id) = (*compression, diff_id.clone());
                    self.read_layer(number, LayerInput { reader: Box::new(reader), compression, diff_id })
                }
            };
        }
        true
    }

    fn read_layer(&self, number: usize, input: LayerInput<'_>) -> End {
        let (mut lot, mut weight, mut is_stopped) = (Vec::new(), 0, false);
        let (mut looks, none) = (0, BTreeSet::new());
        let read = read_raw(input, &Limits::default(), &mut |raw, body| {
            let listed = Listed::of(raw, body, if looks < LOOKS { &self.jobs[number].programs } else { &none })?;
            looks += usize::from(listed.is_looked_into());
            weight += listed.weight();
            lot.push(listed);
            if weight >= LOT {
                is_stopped = !self.put(number, std::mem::take(&mut lot), std::mem::take(&mut weight));
            }
            if is_stopped { Err(io::Error::other("nobody wants it any more")) } else { Ok(()) }
        });
        if is_stopped || !self.put(number, lot, weight) {
            return End::Absent;
        }
        read.map_or_else(End::Unsound, |facts| End::Sound(Some(facts)))
    }

    /// Keeps a lot, once there is room for it; false where nobody wants it.
    fn put(&self, number: usize, lot: Vec<Listed>, weight: usize) -> bool {
        let mut state = self.state();
        loop {
            let is_passed = number < state.furthest && number != state.current;
            let blob = &state.blobs[number];
            if state.is_over || blob.users == 0 {
                return false;
            }
            if state.held + weight <= KEPT {
                break;
            }
            if number == state.current && blob.is_wanted {
                state.drop_lots(number);
                break;
            }
            if is_passed {
                state.drop_lots(number);
                return false;
            }
            state = self.wait(state);
        }
        state.held += weight;
        let blob = &mut state.blobs[number];
        blob.is_wanted = false;
        blob.lots.push_back((Arc::new(lot), weight));
        self.changed.notify_all();
        true
    }

    /// A lot of a blob, by its number; at the end what the layer is.
    fn lot(&self, number: usize, index: usize) -> Result<Result<Arc<Vec<Listed>>, LayerFacts>, ExtractError> {
        let mut state = self.state();
        loop {
            let blob = &mut state.blobs[number];
            if let Some((lot, _)) = index.checked_sub(blob.dropped).and_then(|index| blob.lots.get(index)) {
                return Ok(Ok(Arc::clone(lot)));
            }
            match std::mem::replace(&mut blob.end, End::Absent) {
                End::Running => blob.end = End::Running,
                End::Sound(Some(facts)) => {
                    blob.end = End::Sound(Some(facts.clone()));
                    return Ok(Err(facts));
                }
                End::Unsound(error) => return Err(error),
                End::Sound(None) | End::Absent => return Err(ExtractError::Truncated { offset: 0 }),
            }
            state = self.more(state, number);
        }
    }
}

impl State {
    fn drop_lots(&mut self, number: usize) {
        let blob = &mut self.blobs[number];
        blob.dropped += blob.lots.len();
        self.held -= blob.lots.drain(..).map(|(_, weight)| weight).sum::<usize>();
    }
}

/// A layer that is gone through.
struct Reading<'r> {
    ahead: &'r Ahead<'r>,
    number: usize,
}

impl Listing for Reading<'_> {
    fn each(&mut self, visit: &mut dyn FnMut(&RawEntry) -> Result<(), ExtractError>) -> Result<LayerFacts, ExtractError> {
        for index in 0.. {
            match self.ahead.lot(self.number, index)? {
                Ok(lot) => lot.iter().try_for_each(|listed| visit(&listed.raw))?,
                Err(facts) => return Ok(facts),
            }
        }
        Err(ExtractError::Truncated { offset: 0 })
    }
}

/// Says how reading a blob ended, even where it panicked.
struct Ending<'r> {
    ahead: &'r Ahead<'r>,
    number: usize,
    end: End,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut state = self.ahead.state();
        state.blobs[self.number].end = std::mem::take(&mut self.end);
        self.ahead.changed.notify_all();
    }
}

/// Lets those that read stop.
struct Over<'r>(&'r Ahead<'r>);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.state().is_over = true;
        self.0.changed.notify_all();
    }
}
