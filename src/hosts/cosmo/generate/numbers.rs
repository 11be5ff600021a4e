//! The number that a field of a message has in the proto.
//!
//! The router's own generator keeps two accounts: the lock, by the names that the schema has, and what it has written, by
//! the names that the proto has. A field is first looked up in the second, which starts as the lock was. Where the names
//! differ by more than their spelling (`URL`, `url`), and the lock was read from a file, a field is a new one for it, and
//! gets a number above those of all fields that the lock named. That number may be reserved, or another field's; protobuf
//! refuses that, so the whole message has the lock's own numbers then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::lock::Lock;
use super::names::camel;

/// Both accounts.
#[derive(Debug)]
pub struct Numbers {
    /// The lock as it will be written.
    pub lock: Lock,
    /// The lock as it was read.
    before: Option<Lock>,
    written: BTreeMap<Arc<str>, Written>,
}

#[derive(Debug, Default)]
struct Written {
    numbers: BTreeMap<Arc<str>, u32>,
    highest: u32,
}

impl Written {
    fn note(&mut self, name: &str, number: u32) {
        self.numbers.insert(Arc::from(name), number);
        self.highest = self.highest.max(number);
    }
}

impl Numbers {
    /// Starts from an earlier lock, if there is one.
    pub fn new(before: Option<Lock>) -> Self {
        Self { lock: before.clone().unwrap_or_default(), before, written: BTreeMap::new() }
    }

    /// The numbers of the fields of a message that is settled in the lock, by the names that the lock and the proto have.
    pub fn all(&mut self, message: &str, fields: &[(Arc<str>, String)]) -> Vec<u32> {
        let numbers: Vec<u32> = fields.iter().map(|(_, field)| self.number(message, field)).collect();
        let Some(entry) = self.lock.messages.get(message) else { return numbers };
        let mut taken: BTreeSet<u32> = entry.reserved.iter().copied().collect();
        if numbers.iter().all(|number| taken.insert(*number)) {
            return numbers;
        }
        let own = fields.iter().zip(numbers).map(|((name, _), number)| entry.fields.get(name).copied().unwrap_or(number));
        own.collect()
    }

    /// The number of a field by its name in the proto.
    pub fn number(&mut self, message: &str, field: &str) -> u32 {
        let settled = self.lock.messages.get(message);
        if !self.written.contains_key(message) {
            let before = self.before.as_ref().and_then(|lock| lock.messages.get(message));
            let mut written = Written::default();
            for (name, number) in before.iter().flat_map(|entry| entry.fields.iter()) {
                written.note(name, *number);
            }
            self.written.insert(Arc::from(message), written);
        }
        let Some(written) = self.written.get_mut(message) else { return 0 };
        let known = written.numbers.get(field).or_else(|| written.numbers.get(camel(field).as_str())).copied();
        let locked = || settled.and_then(|entry| entry.fields.get(field)).copied();
        let number = known.or_else(locked).unwrap_or(written.highest + 1);
        written.note(field, number);
        number
    }

    /// The number that a name had in the lock as it was read.
    pub fn before(&self, message: &str, name: &str) -> Option<u32> {
        self.before.as_ref()?.messages.get(message)?.fields.get(name).copied()
    }
}
