//! What is being fetched, once for all who wait for it, and what came of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// How many things are fetched, or wait for that, at once.
const FLYING: usize = 2048;
/// How many outcomes are remembered.
const REMEMBERED: usize = 10_000;
/// How long it is believed that something is not there.
const ABSENT: Duration = Duration::from_secs(10);
/// How long a registry that cannot be reached is left alone.
const AWAY: Duration = Duration::from_secs(30);

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is here now.
    Here,
    /// The other registry does not have it.
    Absent,
    /// The other registry does not answer, or not to us.
    Away,
    /// It is nothing that is served here.
    Refused(String),
}

impl Outcome {
    /// How long it holds.
    fn holds(&self, fresh: Fresh) -> Duration {
        match self {
            Self::Here => fresh.here,
            Self::Absent | Self::Refused(_) => ABSENT.min(fresh.other),
            Self::Away => AWAY.min(fresh.other),
        }
    }
}

/// How long outcomes may hold at most: that something is here, and any other.
#[derive(Clone, Copy)]
pub(crate) struct Fresh {
    pub(crate) here: Duration,
    pub(crate) other: Duration,
}

/// Something that is being fetched, or was.
pub(crate) enum Flight {
    /// It ended so, not long ago.
    Landed(Outcome),
    /// It is on its way, since then.
    Flying(Instant, watch::Receiver<Option<Outcome>>),
}

impl Flight {
    /// When it began.
    pub(crate) fn begun(&self) -> Instant {
        match self {
            Self::Landed(_) => Instant::now(),
            Self::Flying(begun, _) => *begun,
        }
    }

    /// Waits for its end.
    pub(crate) async fn landed(self) -> Outcome {
        match self {
            Self::Landed(outcome) => outcome,
            Self::Flying(_, mut receiver) => match receiver.wait_for(Option::is_some).await {
                Ok(outcome) => outcome.clone().unwrap_or(Outcome::Away),
                Err(_) => Outcome::Away,
            },
        }
    }
}

/// All of them.
#[derive(Clone, Default)]
pub(crate) struct Flights(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    flying: BTreeMap<String, (Instant, watch::Receiver<Option<Outcome>>)>,
    landed: BTreeMap<String, (Instant, Outcome)>,
}

impl Flights {
    /// Joins those who wait for something, or begins it. It goes on whoever stops waiting. What still holds is not begun anew.
    pub(crate) fn join<F>(&self, key: &str, fresh: Fresh, begin: impl FnOnce() -> F) -> Flight
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((begun, receiver)) = state.flying.get(key).filter(|(_, receiver)| receiver.has_changed().is_ok()) {
            return Flight::Flying(*begun, receiver.clone());
        }
        if let Some((at, outcome)) = state.landed.get(key)
            && at.elapsed() < outcome.holds(fresh)
        {
            return Flight::Landed(outcome.clone());
        }
        // Whoever leaves does not end what was begun for him.
        if state.flying.len() >= FLYING {
            return Flight::Landed(Outcome::Away);
        }
        let (sender, receiver) = watch::channel(None);
        let begun = Instant::now();
        state.flying.insert(key.to_owned(), (begun, receiver.clone()));
        let (work, flights, key) = (begin(), self.clone(), key.to_owned());
        tokio::spawn(async move {
            let outcome = work.await;
            flights.land(key, outcome.clone());
            drop(sender.send(Some(outcome)));
        });
        Flight::Flying(begun, receiver)
    }

    fn land(&self, key: String, outcome: Outcome) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.flying.remove(&key);
        if state.landed.len() >= REMEMBERED {
            state.landed.clear();
        }
        state.landed.insert(key, (Instant::now(), outcome));
    }
}
