//! Whether proto and mapping say what a schema does, field by field.
//!
//! What they would be is generated, and both pairs are read in the same way: as the router does, which looks for each part of a
//! schema in the proto by the name that the mapping gives it. So other names, numbers, comments, options and another order are no
//! difference; another type, nullability or list is one, as is what only one side has. What the router never asks for is not
//! compared: subscriptions, and keys that are not resolvable. So contracts pass that other versions of the router's own generator
//! made, as long as what they say of the schema is what the router of today looks for.

mod meaning;
mod names;

use std::collections::BTreeSet;

use prost_reflect::DescriptorPool;

use super::generate::{Generated, model::Item};
use super::process::{Api, ApiError};
pub use meaning::PACKAGE;
pub use names::Names;

/// One part of a schema for which a file has something else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// `Type.field`, `Type`, `Type @key(fields: "id")`
    pub part: String,
    pub file: File,
    pub what: What,
}

/// Where it differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum File {
    Proto,
    Mapping,
}

/// How it differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Missing,
    /// It is there, and no longer in the schema.
    Gone,
    Changed {
        found: String,
        wanted: String,
    },
}

/// What of a schema is otherwise in a proto and a mapping than in what is made of the schema.
pub fn differences(wanted: &Generated, found: &DescriptorPool, names: &Names) -> Result<Vec<Difference>, ApiError> {
    let made = Api::of_source("service.proto", wanted.proto.as_bytes())?;
    let wanted_names = Names::of(&serde_json::json!(wanted.contract.mapping));
    let mut types = wanted_names.types.clone();
    types.extend(wanted.contract.proto.types.iter().filter_map(|item| match item {
        Item::Message(message) => message.oneof.is_some().then(|| message.name.clone()),
        Item::Enum(one) => Some(one.name.clone()),
    }));
    let gone: BTreeSet<String> = names.types.difference(&types).cloned().collect();
    types.extend(gone);
    let (mut wanted, mut found) = (meaning::of(made.pool(), &wanted_names, &types), meaning::of(found, names, &types));
    let mut differences = Vec::new();
    let mut add = |part: &str, file, what| differences.push(Difference { part: part.to_owned(), file, what });
    for part in wanted_names.calls.keys() {
        if !wanted.contains_key(part) {
            found.remove(part);
        } else if !names.calls.contains_key(part) {
            wanted.remove(part);
            add(part, File::Mapping, What::Missing);
        }
    }
    let told: BTreeSet<&String> = names.calls.keys().chain(&names.parts).collect();
    let known: BTreeSet<&String> = wanted_names.calls.keys().chain(&wanted_names.parts).collect();
    for part in told.difference(&known) {
        found.remove(*part);
        add(part, File::Mapping, What::Gone);
    }
    for (part, wanted) in &wanted {
        match found.remove(part) {
            None => add(part, File::Proto, What::Missing),
            Some(found) if found != *wanted => add(part, File::Proto, What::Changed { found, wanted: wanted.clone() }),
            Some(_) => {}
        }
    }
    // A message may have fields that the router asks for elsewhere, such as those that are `@external`.
    for part in found.keys().filter(|part| !known.contains(part)) {
        add(part, File::Proto, What::Gone);
    }
    differences.sort();
    // Of a type that is missing or gone as a whole, its fields need no telling.
    let whole: BTreeSet<(String, What)> = differences.iter().map(|one| (one.part.clone(), one.what.clone())).collect();
    let is_told =
        |one: &Difference| one.part.split_once('.').is_some_and(|(ty, _)| whole.contains(&(ty.to_owned(), one.what.clone())));
    differences.retain(|one| !is_told(one));
    Ok(differences)
}
