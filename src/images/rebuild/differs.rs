//! What an image was asked for and its sources do not say.
//!
//! A rebuild that repeats an image's request proves that the image is what the sources and that request give, and whoever
//! made the image wrote the request. So the request is compared with what the sources alone plan, and with what who checks
//! gives on the command line or in the environment; every other difference is told as `request-differs`, and the same
//! digest is no success then.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::grammar;
use super::record::Request;
use crate::build::kinds::Kind;
use crate::build::manifest::{BuildFlags, Builder, PackageFacts, Plugin};
use crate::build::plan::annotations::{KIND_KEY, NAME_KEY, REVISION_KEY, SOURCE_KEY};
use crate::images::diff::Difference;

/// The rule of a difference.
pub const REQUEST_DIFFERS: &str = "request-differs";

/// What the sources and the checker say.
pub struct Own<'a> {
    /// The checker's flags.
    pub flags: &'a BuildFlags,
    /// What cargo says of the package.
    pub facts: &'a PackageFacts,
    /// The package by the flags, where they name another.
    pub package: Option<String>,
    /// The targets of the sources and the flags.
    pub targets: Vec<String>,
    /// The product by the manifest or the flags; `None` where only the image decides.
    pub product: Option<String>,
    /// What the sources plan with the checker's flags, in an environment without settings.
    pub there: Request,
    /// The same in the checker's environment.
    pub here: Request,
}

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Compared {
    /// One for each part that differs.
    pub differences: Vec<Difference>,
    /// What of it has no shape that may be repeated here.
    pub refused: Vec<String>,
    /// Flags that only the checker's environment has in common with the image.
    pub of_environment: Vec<String>,
}

/// Compares the requests of platforms that one command builds.
pub fn compare(requests: &[&Request], own: &Own<'_>) -> Compared {
    let mut found = Compared::default();
    let Some(request) = requests.first() else { return found };
    if let Some(package) = &own.package {
        found.add("package", &json!(request.package), &json!(package));
    }
    for request in requests.iter().filter(|request| !own.targets.contains(&request.target)) {
        found.add("target", &json!(request.target), &json!(own.targets));
    }
    let product = request.bin.as_ref().or(request.lib.as_ref());
    if let (Some(own), Some(product)) = (&own.product, product)
        && own != product
    {
        found.add(if request.bin.is_some() { "bin" } else { "lib" }, &json!(product), &json!(own));
    }
    let flags = own.flags;
    let builder = |builder: Builder| json!(builder.as_str());
    for (part, asked, own) in [
        ("features", json!(request.features), json!(flags.feature_list())),
        ("all-features", json!(request.all_features), json!(own.facts.all_features(flags))),
        ("no-default-features", json!(request.no_default_features), json!(own.facts.no_default_features(flags))),
        ("profile", json!(request.profile), json!(flags.profile())),
        ("builder", builder(request.builder), builder(flags.builder)),
    ] {
        if asked != own {
            found.add(part, &asked, &own);
        }
    }
    if request.cargo_args != own.there.cargo_args {
        found.add("cargo-args", &json!(request.cargo_args), &json!(own.there.cargo_args));
        found.refused.extend(grammar::refused_cargo_args(&request.cargo_args));
    }
    if request.rustflags == own.there.rustflags {
    } else if request.rustflags == own.here.rustflags {
        found.of_environment.extend(request.rustflags.iter().cloned());
    } else {
        found.add("rustflags", &json!(request.rustflags), &json!(own.there.rustflags));
        found.refused.extend(grammar::refused_rustflags(&request.rustflags));
    }
    let keys: BTreeSet<&String> = request.profile_keys.keys().chain(own.there.profile_keys.keys()).collect();
    for key in keys {
        let asked = request.profile_keys.get(key);
        if asked == own.there.profile_keys.get(key) || asked == own.here.profile_keys.get(key) {
            continue;
        }
        let or_null = |value: Option<&Value>| value.cloned().unwrap_or_default();
        found.add(&format!("profile-keys > {key}"), &or_null(asked), &or_null(own.there.profile_keys.get(key)));
        found.refused.extend(grammar::refused_profile_keys(asked.map(|value| (key, value))));
    }
    found
}

/// The name and the kind that an image says it has, where the sources and the checker's flags say otherwise; each is told. A
/// name that is no plain one is never repeated.
pub fn identity(annotations: &BTreeMap<String, String>, plugin: &Plugin) -> (Option<String>, Option<Kind>, Vec<Difference>) {
    let mut found = Compared::default();
    let name = annotations.get(NAME_KEY).filter(|name| **name != plugin.name && name.is_ascii() && grammar::is_name(name, ""));
    let kind = annotations.get(KIND_KEY).and_then(|word| Kind::of_word(word));
    let kind = kind.filter(|kind| *kind != plugin.kind);
    if let Some(name) = name {
        found.add("name", &json!(name), &json!(plugin.name));
    }
    if let Some(kind) = kind {
        found.add("kind", &json!(kind.as_str()), &json!(plugin.kind.as_str()));
    }
    (name.cloned(), kind, found.differences)
}

/// What git says of the sources, as it is to stand in the image again: what the image says, where both say something. Whatever the
/// sources say now otherwise is told. What the manifest itself says is none of it.
pub fn revision(
    image: &BTreeMap<String, String>,
    planned: &BTreeMap<String, String>,
    plugin: &Plugin,
) -> (BTreeMap<String, String>, Vec<Difference>) {
    let mut found = Compared::default();
    let mut annotations = BTreeMap::new();
    for (key, part, is_manifests) in
        [(REVISION_KEY, "revision", false), (SOURCE_KEY, "source", plugin.package.repository.is_some())]
    {
        let (Some(asked), Some(own)) = (image.get(key), planned.get(key)) else { continue };
        if is_manifests || plugin.config.annotations.as_ref().is_some_and(|own| own.contains_key(key)) {
            continue;
        }
        if asked != own {
            found.add(part, &json!(asked), &json!(own));
        }
        annotations.insert(key.to_owned(), asked.clone());
    }
    (annotations, found.differences)
}

impl Compared {
    fn add(&mut self, part: &str, asked: &Value, own: &Value) {
        let [asked, own] = [asked, own].map(said);
        self.differences.push(difference(part, asked, own));
    }
}

/// One part that the image and the sources say otherwise.
pub fn difference(part: &str, asked: String, own: String) -> Difference {
    Difference {
        object: format!("request > {part}"),
        rule: REQUEST_DIFFERS,
        message: format!("the image was asked for {asked}, the sources say {own}"),
        first: Some(asked),
        second: Some(own),
    }
}

/// A value as a person writes it.
fn said(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "nothing".to_owned(),
        Value::Array(items) => items.iter().map(said).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}
