//! What must happen when the user interrupts: remove temporary files, stop children.
//!
//! Whatever holds something that would outlive the process registers an action here and keeps the returned guard as long
//! as it holds it. The command line's signal thread calls [`run_all`] and exits. After a SIGKILL nothing runs: temporary
//! files carry a lock of their own and the next run sweeps the unlocked ones.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

type Action = Box<dyn FnMut() + Send>;

static ACTIONS: Mutex<(u64, BTreeMap<u64, Action>)> = Mutex::new((0, BTreeMap::new()));

/// Withdraws its action when dropped.
#[derive(Debug)]
#[must_use = "the action is withdrawn when this is dropped"]
pub struct Registration(u64);

impl Drop for Registration {
    fn drop(&mut self) {
        let action = lock().1.remove(&self.0);
        drop(action);
    }
}

/// Registers an action for the case of an interrupt.
pub fn on_interrupt(action: impl FnMut() + Send + 'static) -> Registration {
    let mut actions = lock();
    actions.0 += 1;
    let key = actions.0;
    actions.1.insert(key, Box::new(action));
    Registration(key)
}

/// Runs every registered action, the newest first, and keeps the registry locked for ever: the process is about to exit,
/// and nothing new may be created behind the clean-up's back.
pub fn run_all() {
    let mut actions = lock();
    for (_, action) in actions.1.iter_mut().rev() {
        action();
    }
    std::mem::forget(actions);
}

fn lock() -> MutexGuard<'static, (u64, BTreeMap<u64, Action>)> {
    ACTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}
