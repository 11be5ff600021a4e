//! Index, manifest, configuration: compared key by key, except for the keys that name other content, which is looked
//! into instead.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::json::{self, parted};
use super::{Comparison, Difference, Verdict, below, short};
use plugin_oci::documents::{Descriptor, Document, Index, Manifest, media_type};
use plugin_oci::failure::Error;
use plugin_oci::stores::{PlatformImage, platform_images, read_blob, read_config, read_document};

/// The most differences of one document that are told.
const MOST: usize = 100;

/// A document with its JSON.
struct Read {
    document: Document,
    tree: Map<String, Value>,
}

impl Comparison<'_> {
    /// Compares what two root descriptors name.
    pub(super) fn roots(&mut self, roots: &[Descriptor; 2]) -> Result<(), Error> {
        self.documents([&roots[0], &roots[1]], "")
    }

    fn documents(&mut self, at: [&Descriptor; 2], chain: &str) -> Result<(), Error> {
        if at[0].digest == at[1].digest {
            return Ok(());
        }
        let before = self.count();
        let first = self.read(0, at[0])?;
        let second = self.read(1, at[1])?;
        match (&first.document, &second.document) {
            (Document::Index(a), Document::Index(b)) => {
                self.fields([&first.tree, &second.tree], &["manifests"], &or(chain, "index"));
                self.indexes([a, b], chain)?;
            }
            (Document::Manifest(a), Document::Manifest(b)) => {
                self.fields([&first.tree, &second.tree], &["config", "layers"], &or(chain, "manifest"));
                self.manifests([a, b], [&first.tree, &second.tree], chain)?;
            }
            _ => {
                let kinds = at.map(|at| at.media_type.clone());
                self.description(Difference::changed(or(chain, "root"), "media-type", "", kinds));
                let images = |side: usize| platform_images(self.sources[side], at[side]);
                self.images([images(0)?, images(1)?], chain)?;
            }
        }
        if self.count() == before && self.platforms.is_empty() {
            let text = format!("all values agree, the bytes do not: {} -> {}", short(&at[0].digest), short(&at[1].digest));
            self.description(Difference::note(or(chain, "root"), "document-bytes", text));
        }
        Ok(())
    }

    fn read(&self, side: usize, at: &Descriptor) -> Result<Read, Error> {
        let (document, bytes) = read_document(self.sources[side], at)?;
        let tree =
            plugin_oci::documents::json::parse(&bytes).ok().and_then(|value| value.as_object().cloned()).unwrap_or_default();
        Ok(Read { document, tree })
    }

    /// Every key of two documents but those that are looked into otherwise; annotations by their own names.
    fn fields(&mut self, trees: [&Map<String, Value>; 2], except: &[&str], chain: &str) {
        let rest = trees.map(|tree| {
            let kept = tree.iter().filter(|(key, _)| !except.contains(&key.as_str()) && *key != "annotations");
            Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
        });
        self.values([&rest[0], &rest[1]], chain, "field");
        let annotations = trees.map(|tree| tree.get("annotations").and_then(Value::as_object).cloned().unwrap_or_default());
        self.annotations([&annotations[0], &annotations[1]], chain);
    }

    fn annotations(&mut self, maps: [&Map<String, Value>; 2], chain: &str) {
        let mut keys: Vec<&String> = maps[0].keys().chain(maps[1].keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            let object = below(chain, &format!("annotation {key}"));
            match [maps[0].get(key), maps[1].get(key)] {
                [Some(first), Some(second)] if first != second => {
                    // Some annotations are JSON, our own request among them: the key in it says more.
                    if let [Some(first), Some(second)] = [object_in(first), object_in(second)] {
                        self.values([&first, &second], &object, "annotation");
                    } else {
                        let values = [json::text(first), json::text(second)];
                        self.description(Difference::changed(object, "annotation", "", values));
                    }
                }
                [Some(first), None] => self.description(Difference::only(object, "annotation", 0, json::text(first))),
                [None, Some(second)] => self.description(Difference::only(object, "annotation", 1, json::text(second))),
                _ => {}
            }
        }
    }

    fn values(&mut self, values: [&Value; 2], chain: &str, rule: &'static str) {
        for part in parted(values[0], values[1], MOST) {
            let object = if part.key.is_empty() { chain.to_owned() } else { below(chain, &part.key) };
            self.description(match part.values {
                [Some(first), Some(second)] => Difference::changed(object, rule, "", [json::text(&first), json::text(&second)]),
                [Some(first), None] => Difference::only(object, rule, 0, json::text(&first)),
                [None, second] => Difference::only(object, rule, 1, second.as_ref().map(json::text).unwrap_or_default()),
            });
        }
    }

    fn indexes(&mut self, indexes: [&Index; 2], chain: &str) -> Result<(), Error> {
        let keyed = indexes.map(|index| by_platform(index.manifests.iter()));
        let order = [0, 1].map(|side| {
            let common = keyed[side].iter().map(|(key, _)| key.as_str()).filter(|key| has(&keyed[1 - side], key));
            common.collect::<Vec<_>>().join(", ")
        });
        if order[0] != order[1] {
            self.description(Difference::changed(or(chain, "index"), "platform-order", "", order));
        }
        for (side, children) in keyed.iter().enumerate() {
            for (key, child) in children {
                if has(&keyed[1 - side], key) || !self.wants(child) {
                    continue;
                }
                let text = format!("{key} ({})", short(&child.digest));
                self.content(Difference::only(or(chain, "index"), "platform", side, text));
            }
        }
        for (key, first) in &keyed[0] {
            let Some((_, second)) = keyed[1].iter().find(|(other, _)| other == key) else { continue };
            if !self.wants(first) {
                continue;
            }
            let chain = below(chain, key);
            self.descriptors([first, second], &chain);
            if first.is_manifest_or_index() && second.is_manifest_or_index() {
                self.documents([first, second], &chain)?;
            } else if first.digest != second.digest {
                self.content(Difference::changed(chain, "blob", "", [short(&first.digest), short(&second.digest)]));
            }
        }
        Ok(())
    }

    /// Manifests found by different ways: in an index here, alone there.
    fn images(&mut self, images: [Vec<PlatformImage>; 2], chain: &str) -> Result<(), Error> {
        let [first, second] = images;
        if let ([first], [second]) = (first.as_slice(), second.as_slice()) {
            return self.documents([&first.descriptor, &second.descriptor], &or(chain, "manifest"));
        }
        for image in &first {
            let platform = &image.descriptor.platform;
            if let Some(other) = second.iter().find(|other| other.descriptor.platform == *platform) {
                let key = platform.as_ref().map_or_else(|| "manifest".to_owned(), ToString::to_string);
                self.documents([&image.descriptor, &other.descriptor], &below(chain, &key))?;
            }
        }
        self.verdict = Verdict::OtherContents;
        Ok(())
    }

    fn wants(&self, child: &Descriptor) -> bool {
        let platform = child.platform.as_ref();
        self.platforms.is_empty() || platform.is_some_and(|platform| self.platforms.iter().any(|wanted| platform.agrees(wanted)))
    }

    /// What descriptors say beside digest and size.
    pub(super) fn descriptors(&mut self, at: [&Descriptor; 2], chain: &str) {
        let said = at.map(|at| {
            let mut value = serde_json::json!(at);
            if let Value::Object(map) = &mut value {
                for derived in ["digest", "size", "mediaType", "platform"] {
                    map.remove(derived);
                }
            }
            value
        });
        self.values([&said[0], &said[1]], &below(chain, "descriptor"), "descriptor");
    }

    fn manifests(&mut self, manifests: [&Manifest; 2], trees: [&Map<String, Value>; 2], chain: &str) -> Result<(), Error> {
        let chain = if chain.is_empty() { "" } else { chain };
        let configs = manifests.map(|manifest| &manifest.config);
        self.descriptors(configs, &below(chain, "config"));
        let types = configs.map(|config| config.media_type.clone());
        if types[0] != types[1] {
            self.description(Difference::changed(below(chain, "config"), "media-type", "", types));
        }
        let mut diff_ids = [Vec::new(), Vec::new()];
        if configs.iter().all(|config| media_type::is_config(&config.media_type)) {
            let first = read_config(self.sources[0], configs[0])?;
            let second = read_config(self.sources[1], configs[1])?;
            self.configs([first.tree(), second.tree()], manifests, &below(chain, "config"));
            diff_ids = [first.diff_ids().to_vec(), second.diff_ids().to_vec()];
        } else if configs[0].digest != configs[1].digest {
            self.artifact_configs(configs, &below(chain, "config"))?;
        }
        let raw = trees.map(|tree| tree.get("layers").and_then(Value::as_array).cloned().unwrap_or_default());
        self.layers(manifests, &diff_ids, &raw, chain)
    }

    fn configs(&mut self, trees: [&Map<String, Value>; 2], manifests: [&Manifest; 2], chain: &str) {
        let stripped = trees.map(|tree| {
            let mut tree = tree.clone();
            tree.remove("history");
            if let Some(Value::Object(rootfs)) = tree.get_mut("rootfs") {
                rootfs.remove("diff_ids");
            }
            Value::Object(tree)
        });
        let before = self.differences.len();
        self.values([&stripped[0], &stripped[1]], chain, "config");
        let history = trees.map(|tree| tree.get("history").and_then(Value::as_array).cloned().unwrap_or_default());
        let lengths = [history[0].len(), history[1].len()];
        if lengths[0] == lengths[1] {
            // The time of creation is in every entry, and was told above.
            let created = self.differences[before..].iter().any(|difference| difference.object.ends_with("> created"));
            let history = history.map(|entries| Value::Array(entries.into_iter().map(|e| without_created(e, created)).collect()));
            self.values([&history[0], &history[1]], &below(chain, "history"), "history");
        } else if manifests[0].layers.len() == manifests[1].layers.len() {
            let texts = lengths.map(|length| format!("{length} entries"));
            self.description(Difference::changed(below(chain, "history"), "history", "", texts));
        }
    }

    /// Configurations of artifacts: JSON where they are, bytes otherwise.
    fn artifact_configs(&mut self, configs: [&Descriptor; 2], chain: &str) -> Result<(), Error> {
        let read = |side: usize| read_blob(self.sources[side], configs[side], plugin_oci::documents::CONFIG_LIMIT);
        let parsed = [read(0)?, read(1)?].map(|bytes| plugin_oci::documents::json::parse(&bytes).ok());
        if let [Some(first), Some(second)] = parsed {
            self.values([&first, &second], chain, "config");
        } else {
            let digests = configs.map(|config| short(&config.digest));
            self.description(Difference::changed(chain, "config", "", digests));
        }
        Ok(())
    }
}

fn without_created(mut entry: Value, told: bool) -> Value {
    if let Value::Object(map) = &mut entry
        && told
    {
        map.remove("created");
    }
    entry
}

/// The JSON object in a string.
fn object_in(value: &Value) -> Option<Value> {
    let value: Value = serde_json::from_str(value.as_str()?).ok()?;
    value.is_object().then_some(value)
}

fn or(chain: &str, name: &str) -> String {
    if chain.is_empty() { name.to_owned() } else { chain.to_owned() }
}

fn has(children: &[(String, &Descriptor)], key: &str) -> bool {
    children.iter().any(|(other, _)| other == key)
}

/// Children by platform; a platform that occurs again, or none, is numbered.
fn by_platform<'a>(children: impl Iterator<Item = &'a Descriptor>) -> Vec<(String, &'a Descriptor)> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut keyed = Vec::new();
    for child in children {
        let name = child.platform.as_ref().map_or_else(|| "no platform".to_owned(), ToString::to_string);
        let count = seen.entry(name.clone()).or_default();
        *count += 1;
        keyed.push((if *count == 1 { name } else { format!("{name} #{count}") }, child));
    }
    keyed
}
