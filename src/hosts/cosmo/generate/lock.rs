//! The lock: which number each field of a message and each value of an enum has, so that it keeps it.
//!
//! Its keys are names of messages and enums, and others that only order what is written: `Query` and `Mutation`, a call
//! without `Request` (the order of its arguments), `<Interface>Implementations` and `<Union>Members`. What is no longer in
//! the schema stays in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};

use super::error::{Error, Position};

/// The largest lock that is read, in bytes.
const MAX_LOCK: usize = 64 << 20;

/// The only version of the format.
const VERSION: &str = "1.0.0";

/// The largest number of a field, by protobuf's rules. An enum's value may be larger, and none ever is.
const MAX_NUMBER: u32 = 536_870_911;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: String,
    pub messages: Ordered<Entry>,
    pub enums: Ordered<Entry>,
}

/// The numbers of one message or enum.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Names with their numbers.
    pub fields: Ordered<u32>,
    /// Numbers that were in use once.
    #[serde(rename = "reservedNumbers", default, skip_serializing_if = "Vec::is_empty")]
    pub reserved: Vec<u32>,
}

impl Default for Lock {
    fn default() -> Self {
        Self { version: VERSION.to_owned(), messages: Ordered::default(), enums: Ordered::default() }
    }
}

impl Lock {
    /// Reads a lock.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_LOCK {
            return Err(Error::Size { what: "the lock", limit: MAX_LOCK });
        }
        let place = |line: usize, column: usize| Position {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
        };
        let lock: Self = serde_json::from_str(text)
            .map_err(|error| Error::Lock { at: place(error.line(), error.column()), message: error.to_string() })?;
        let wrong = |message: String| Error::Lock { at: place(1, 1), message };
        if lock.version != VERSION {
            return Err(wrong(format!("its version is `{}`, and only `{VERSION}` is known", lock.version)));
        }
        for (name, entry) in lock.messages.iter().chain(lock.enums.iter()) {
            let numbers = entry.fields.iter().map(|(_, number)| number).chain(&entry.reserved);
            if let Some(number) = numbers.copied().find(|number| !(1..=MAX_NUMBER).contains(number)) {
                return Err(wrong(format!("`{name}` has the number {number}, which protobuf does not allow")));
            }
        }
        Ok(lock)
    }

    /// Writes a lock.
    pub(super) fn render(&self) -> String {
        serde_json::to_string_pretty(self).expect("texts and numbers are JSON")
    }
}

impl Ordered<Entry> {
    /// Numbers names that are there now: those with a number keep it, the numbers of those that are gone are reserved, and
    /// new names get numbers above all that were ever in use. Gives the names in the order of their numbers.
    pub fn settle(&mut self, of: &str, names: &[Arc<str>]) -> Vec<Arc<str>> {
        let entry = self.entry(of);
        let now: BTreeSet<&Arc<str>> = names.iter().collect();
        reserve(entry, |name| now.contains(name));
        let kept: BTreeSet<u32> = names.iter().filter_map(|name| entry.fields.get(name).copied()).collect();
        entry.reserved.retain(|number| !kept.contains(number));
        let mut highest = kept.iter().chain(&entry.reserved).copied().max().unwrap_or(0);
        let mut numbered = Ordered::default();
        // Those with numbers come first in the file, then the new ones.
        for name in names {
            if let Some(number) = entry.fields.get(name) {
                numbered.insert(name.clone(), *number);
            }
        }
        for name in names {
            if numbered.get(name).is_none() {
                highest += 1;
                numbered.insert(name.clone(), highest);
            }
        }
        let mut sorted = names.to_vec();
        sorted.sort_by_key(|name| numbered.get(name).copied());
        entry.fields = numbered;
        sorted
    }

    /// Reserves the numbers of names that are gone, where there is an entry. Gives all reserved numbers.
    pub fn retire(&mut self, of: &str, names: &[Arc<str>]) -> Vec<u32> {
        let Some(entry) = self.get_mut(of) else { return Vec::new() };
        let now: BTreeSet<&Arc<str>> = names.iter().collect();
        reserve(entry, |name| now.contains(name));
        entry.reserved.clone()
    }

    /// The reserved numbers of an entry.
    pub fn reserved(&self, of: &str) -> Vec<u32> {
        self.get(of).map(|entry| entry.reserved.clone()).unwrap_or_default()
    }
}

/// Adds the numbers of gone names to the reserved ones, each once.
fn reserve(entry: &mut Entry, is_here: impl Fn(&Arc<str>) -> bool) {
    let gone = entry.fields.iter().filter(|(name, _)| !is_here(name)).map(|(_, number)| *number);
    let mut seen = BTreeSet::new();
    entry.reserved = entry.reserved.iter().copied().chain(gone).filter(|number| seen.insert(*number)).collect();
}

/// Values by name, in the order in which they came.
#[derive(Clone, Debug)]
pub struct Ordered<T> {
    items: Vec<(Arc<str>, T)>,
    places: BTreeMap<Arc<str>, usize>,
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self { items: Vec::new(), places: BTreeMap::new() }
    }
}

impl<T> Ordered<T> {
    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.places.get(name).map(|place| &self.items[*place].1)
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        self.places.get(name).map(|place| &mut self.items[*place].1)
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &T)> {
        self.items.iter().map(|(name, value)| (name, value))
    }

    /// Adds a value; tells whether the name is new.
    fn insert(&mut self, name: Arc<str>, value: T) -> bool {
        if self.places.contains_key(&name) {
            return false;
        }
        self.places.insert(name.clone(), self.items.len());
        self.items.push((name, value));
        true
    }

    fn entry(&mut self, name: &str) -> &mut T
    where
        T: Default,
    {
        if !self.places.contains_key(name) {
            self.insert(Arc::from(name), T::default());
        }
        let place = self.places[name];
        &mut self.items[place].1
    }
}

impl<T: Serialize> Serialize for Ordered<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.items.len()))?;
        for (name, value) in &self.items {
            map.serialize_entry(&**name, value)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OrderedVisitor(std::marker::PhantomData))
    }
}

struct OrderedVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OrderedVisitor<T> {
    type Value = Ordered<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut ordered = Ordered::default();
        while let Some((name, value)) = map.next_entry::<String, T>()? {
            let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if !is_name || name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
                return Err(de::Error::custom(format_args!("`{name}` is not the name of anything")));
            }
            if !ordered.insert(Arc::from(name.as_str()), value) {
                return Err(de::Error::custom(format_args!("`{name}` is there twice")));
            }
        }
        Ok(ordered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &str) -> Vec<Arc<str>> {
        all.split(' ').map(Arc::from).collect()
    }

    #[test]
    fn a_number_is_never_given_twice() {
        let mut lock = Lock::default();
        assert_eq!(lock.messages.settle("A", &names("x y z")), names("x y z"));
        assert_eq!(lock.messages.settle("A", &names("z x")), names("x z"));
        assert_eq!(lock.messages.reserved("A"), [2]);
        assert_eq!(lock.messages.settle("A", &names("y z x")), names("x z y"));
        assert_eq!(lock.messages.get("A").unwrap().fields.get("y"), Some(&4));
        let text = lock.render();
        assert_eq!(Lock::parse(&text).unwrap().render(), text);
    }

    #[test]
    fn a_lock_that_cannot_be_one_is_refused_at_its_place() {
        let broken = [
            "",
            "[]",
            r#"{"version":"2.0.0","messages":{},"enums":{}}"#,
            r#"{"version":"1.0.0","messages":{}}"#,
            r#"{"version":"1.0.0","messages":{"A":{"fields":{"a":0}}},"enums":{}}"#,
            r#"{"version":"1.0.0","messages":{"A":{"fields":{"a":1,"a":2}}},"enums":{}}"#,
            r#"{"version":"1.0.0","messages":{"A":{"fields":{"1":1}}},"enums":{}}"#,
            r#"{"version":"1.0.0","messages":{"A":{"fields":{},"reservedNumbers":[536870912]}},"enums":{}}"#,
            r#"{"version":"1.0.0","messages":{},"enums":{},"more":{}}"#,
        ];
        for text in broken {
            assert!(matches!(Lock::parse(text), Err(Error::Lock { .. })), "{text}");
        }
    }
}
