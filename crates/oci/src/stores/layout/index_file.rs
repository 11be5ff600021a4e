//! `index.json` of a layout, edited as a tree: entries and fields that are not ours stay as they are.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{INDEX_FILE, StoreError, Tagged, read_top};
use crate::documents::{self, Descriptor, DocumentError, Index, json as strict};
use crate::fs::FileError;
use crate::values::digest::Digest;

/// The document and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexFile {
    name: String,
    tree: Map<String, Value>,
}

impl IndexFile {
    /// The index of a layout that has nothing yet.
    pub fn empty(dir: &Path) -> Self {
        let mut tree = Map::new();
        tree.insert("schemaVersion".to_owned(), json!(2));
        tree.insert("mediaType".to_owned(), json!(documents::media_type::INDEX));
        tree.insert("manifests".to_owned(), json!([]));
        Self { name: dir.join(INDEX_FILE).display().to_string(), tree }
    }

    /// Reads and checks the index of a layout.
    pub fn read(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(INDEX_FILE);
        let bytes = read_top(&path).map_err(FileError::at("read", &path))?;
        Self::parse(&bytes, path.display().to_string())
    }

    /// Parses the bytes of an index. `name` is what errors call it.
    pub fn parse(bytes: &[u8], name: String) -> Result<Self, StoreError> {
        if bytes.len() as u64 > documents::MANIFEST_LIMIT {
            return Err(StoreError::TooLarge { object: name, size: bytes.len() as u64, limit: documents::MANIFEST_LIMIT });
        }
        let malformed = |source: DocumentError| StoreError::Document { object: name.clone(), source: Box::new(source) };
        // Typed first: shape, digests, sizes and `layers` beside `manifests` are checked here once and for all.
        Index::parse(bytes, None).map_err(malformed)?;
        let tree = strict::parse_as(bytes).map_err(|error| malformed(error.into()))?;
        let index = Self { name, tree };
        index.tags()?;
        Ok(index)
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        strict::object_to_canonical(&self.tree)
    }

    /// The same, to be written: never more than is read again.
    pub fn to_file(&self) -> Result<Vec<u8>, StoreError> {
        let (bytes, limit) = (self.to_bytes(), documents::MANIFEST_LIMIT);
        match bytes.len() as u64 {
            count if count > limit => Err(StoreError::Full { object: self.name.clone(), count, of: "bytes", limit }),
            _ => Ok(bytes),
        }
    }

    /// Every entry, in order.
    pub fn entries(&self) -> Result<Vec<Descriptor>, StoreError> {
        let malformed = |source: DocumentError| StoreError::Document { object: self.name.clone(), source: Box::new(source) };
        Ok(Index::parse(&self.to_bytes(), None).map_err(malformed)?.manifests)
    }

    /// Every tag, sorted. One that stands twice is an error.
    pub fn tags(&self) -> Result<Vec<Tagged>, StoreError> {
        let mut seen = BTreeSet::new();
        let mut tags = Vec::new();
        for root in self.entries()? {
            let Some(tag) = root.ref_name().map(str::to_owned) else { continue };
            if !seen.insert(tag.clone()) {
                return Err(StoreError::DuplicateTag { store: self.name.clone(), tag });
            }
            tags.push(Tagged { tag, root });
        }
        tags.sort_by(|a, b| a.tag.cmp(&b.tag));
        Ok(tags)
    }

    /// Makes `tag` name `root`. An entry that had the tag is replaced where it stands.
    pub fn set_tag(&mut self, tag: &str, root: &Descriptor) {
        let mut entry = entry_of(root);
        let annotations = entry.entry("annotations").or_insert_with(|| json!({}));
        annotations[documents::REF_NAME] = json!(tag);
        let entry = Value::Object(entry);
        match self.manifests().iter_mut().find(|old| tag_of(old) == Some(tag)) {
            Some(old) => *old = entry,
            None => self.manifests().push(entry),
        }
    }

    /// Adds an entry without a tag, unless one with its digest is there.
    pub fn add_untagged(&mut self, root: &Descriptor) {
        self.add_unless(root, |entry| tag_of(entry).is_none());
    }

    /// Adds a referrer, which is found under any tag, unless it is there.
    pub fn add_referrer(&mut self, referrer: &Descriptor) {
        self.add_unless(referrer, |_| true);
    }

    fn add_unless(&mut self, root: &Descriptor, counts: impl Fn(&Value) -> bool) {
        let digest = json!(root.digest);
        if !self.manifests().iter().any(|entry| entry["digest"] == digest && counts(entry)) {
            let entry = Value::Object(entry_of(root));
            self.manifests().push(entry);
        }
    }

    /// Removes a tag; whether it was there.
    pub fn remove_tag(&mut self, tag: &str) -> bool {
        let before = self.manifests().len();
        self.manifests().retain(|entry| tag_of(entry) != Some(tag));
        self.manifests().len() < before
    }

    /// Removes the untagged entry of a digest.
    pub fn remove_untagged(&mut self, digest: &Digest) {
        let digest = json!(digest);
        self.manifests().retain(|entry| tag_of(entry).is_some() || entry["digest"] != digest);
    }

    fn manifests(&mut self) -> &mut Vec<Value> {
        let slot = self.tree.entry("manifests").or_insert_with(|| json!([]));
        if !slot.is_array() {
            *slot = json!([]);
        }
        match slot {
            Value::Array(entries) => entries,
            _ => unreachable!("made an array above"),
        }
    }
}

/// An entry as we write it: what the descriptor says, without a tag that it had elsewhere.
fn entry_of(root: &Descriptor) -> Map<String, Value> {
    let mut root = root.clone();
    root.annotations.remove(documents::REF_NAME);
    match json!(root) {
        Value::Object(map) => map,
        _ => unreachable!("a descriptor is an object"),
    }
}

fn tag_of(entry: &Value) -> Option<&str> {
    entry.get("annotations")?.get(documents::REF_NAME)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREIGN: &[u8] = br#"{"schemaVersion":2,"x-theirs":{"b":1,"a":[1.5]},"manifests":[{"mediaType":"application/vnd.other","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,"x-more":true}]}"#;

    #[test]
    fn foreign_entries_and_fields_survive_an_edit() {
        let mut index = IndexFile::parse(FOREIGN, "index.json".to_owned()).unwrap();
        index.set_tag("1.0", &Descriptor::of("a/b", b"x"));
        index.set_tag("1.0", &Descriptor::of("a/b", b"y"));
        let text = String::from_utf8(index.to_bytes()).unwrap();
        assert!(text.contains(r#""x-theirs":{"a":[1.5],"b":1}"#) && text.contains(r#""x-more":true"#), "{text}");
        assert_eq!(index.tags().unwrap().len(), 1);
        assert!(index.remove_tag("1.0") && !index.remove_tag("1.0"));
        assert_eq!(index.to_bytes(), IndexFile::parse(FOREIGN, String::new()).unwrap().to_bytes());
    }

    #[test]
    fn one_tag_twice_is_refused() {
        let entry = r#"{"mediaType":"a/b","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,"annotations":{"org.opencontainers.image.ref.name":"x"}}"#;
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{entry},{entry}]}}"#);
        assert!(matches!(IndexFile::parse(text.as_bytes(), String::new()), Err(StoreError::DuplicateTag { .. })));
    }
}
