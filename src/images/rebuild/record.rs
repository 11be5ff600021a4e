//! What an image says about how it was asked for, so that it can be asked for again.
//!
//! The annotation `dev.cargo-plugin-build.request` says what cargo was asked. The rest is in the image as it is: the time
//! in the configuration, the compression in the media types, and annotations and labels that were given on the command
//! line. Those last are taken from the image only where the sources have nothing of the name, and that is told.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::RebuildError;
use super::grammar::is_name;
use crate::build::manifest::{BuildFlags, Builder};
use crate::build::plan::annotations::REQUEST_KEY;
use plugin_oci::documents::media_type;
use plugin_oci::failure::Error;
use plugin_oci::layers::pack::{FORMAT, FORMAT_KEY};
use plugin_oci::layers::unpack::{ExtractOptions, LayerInput, read_entries};
use plugin_oci::stores::{PlatformImage, Source, Verified, read_blob};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;
use plugin_oci::values::epoch::Epoch;
use plugin_oci::values::platform::Platform;

/// The longest annotation, in bytes.
const LONGEST: usize = 64 << 10;

/// The annotation `dev.cargo-plugin-build.request`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Request {
    pub package: String,
    pub bin: Option<String>,
    pub lib: Option<String>,
    #[serde(default)]
    pub features: Vec<String>,
    #[serde(default)]
    pub all_features: bool,
    #[serde(default)]
    pub no_default_features: bool,
    pub profile: String,
    /// Keys of the profile in effect.
    #[serde(default)]
    pub profile_keys: BTreeMap<String, Value>,
    pub builder: Builder,
    pub target: String,
    /// The user's rustflags.
    #[serde(default)]
    pub rustflags: Vec<String>,
    #[serde(default)]
    pub cargo_args: Vec<String>,
    #[serde(default)]
    not_rebuildable: bool,
}

/// One platform of the image.
#[derive(Clone, Debug)]
pub struct Record {
    /// The platform, where the index says one.
    pub platform: Option<Platform>,
    /// What cargo was asked.
    pub request: Request,
    /// The one time in it.
    pub epoch: Epoch,
    /// How its own layers are compressed.
    pub compression: Compression,
    /// Its manifest's annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its configuration's labels.
    pub labels: BTreeMap<String, String>,
}

impl Request {
    /// Parses the annotation. What names something has the shape of a name here; flags are judged where they differ from the
    /// sources' own.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("it has {} bytes, and none of ours has more than {LONGEST}", text.len()));
        }
        let request: Self = plugin_oci::documents::json::parse_as(text.as_bytes()).map_err(|error| error.to_string())?;
        let target = request.target.as_str();
        let names = [("package", Some(&request.package)), ("bin", request.bin.as_ref()), ("lib", request.lib.as_ref())];
        let names = names.into_iter().filter_map(|(key, name)| Some((key, name?.as_str(), "")));
        let features = request.features.iter().map(|feature| ("features", feature.as_str(), "+/?"));
        let rest = [("profile", request.profile.as_str(), ""), ("target", target, "")];
        if let Some((key, text, _)) = { names }.chain(features).chain(rest).find(|(_, text, more)| !is_name(text, more)) {
            return Err(format!("`{key}` holds `{}`, which is no name", shortened(text)));
        }
        // Another program's file would describe the target.
        if Path::new(target).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
            return Err(format!("`target` holds `{}`, which is no target of rustc's own", shortened(target)));
        }
        let parts = |flag: &&String| flag.contains(['\0', '\n', '\r', '\u{1f}']);
        if let Some(flag) = request.flags().find(parts) {
            return Err(format!("`{}` holds a character that parts flags", shortened(flag)));
        }
        Ok(request)
    }

    /// Words for rustc and cargo.
    fn flags(&self) -> impl Iterator<Item = &String> {
        self.rustflags.iter().chain(&self.cargo_args)
    }

    /// Whether both can be built by one command.
    fn goes_with(&self, other: &Self) -> bool {
        Self { target: String::new(), ..self.clone() } == Self { target: String::new(), ..other.clone() }
    }
}

/// A text that may be of any length, for a message.
fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    let shown: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() { shown + ".." } else { shown }
}

/// Reads the record of every platform.
pub fn records(source: &dyn Source, images: &[PlatformImage]) -> Result<Vec<Record>, Error> {
    images.iter().map(|image| record(source, image)).collect()
}

fn record(source: &dyn Source, image: &PlatformImage) -> Result<Record, Error> {
    let annotations = &image.manifest.annotations;
    let name = || image.descriptor.platform.as_ref().map_or_else(|| image.descriptor.digest.to_string(), Platform::to_string);
    if let Some(format) = annotations.get(FORMAT_KEY).filter(|format| *format != FORMAT) {
        return Err(RebuildError::Format { format: format.clone() }.into());
    }
    let Some(text) = annotations.get(REQUEST_KEY) else { return Err(RebuildError::NoRequest { image: name() }.into()) };
    let request = Request::parse(text).map_err(|detail| RebuildError::BadRequest { image: name(), detail })?;
    if request.not_rebuildable {
        let hidden = request.flags().filter(|flag| flag.contains("<path>") || flag.contains("/ws"));
        return Err(RebuildError::NotRebuildable { image: name(), flags: hidden.cloned().collect() }.into());
    }
    let config = config(source, image)?;
    let layer = image.manifest.layers.last();
    let compression = layer.and_then(|layer| Compression::of_media_type(&layer.media_type)).unwrap_or_default();
    let labels = config["config"]["Labels"].as_object().cloned().unwrap_or_default();
    Ok(Record {
        platform: image.descriptor.platform.clone(),
        request,
        epoch: epoch(source, image, &config)?,
        compression,
        annotations: annotations.clone(),
        labels: labels.into_iter().filter_map(|(key, value)| Some((key, value.as_str()?.to_owned()))).collect(),
    })
}

/// The configuration as JSON, whatever its type.
fn config(source: &dyn Source, image: &PlatformImage) -> Result<Value, Error> {
    let config = &image.manifest.config;
    if config.media_type == media_type::EMPTY {
        return Ok(Value::Null);
    }
    Ok(plugin_oci::documents::json::parse(&read_blob(source, config, plugin_oci::documents::CONFIG_LIMIT)?).unwrap_or_default())
}

/// The configuration's time, or else that of the first entry of the last layer.
fn epoch(source: &dyn Source, image: &PlatformImage, config: &Value) -> Result<Epoch, Error> {
    let created = config["created"].as_str().and_then(|text| humantime::parse_rfc3339(text).ok());
    if let Some(seconds) = created.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok()) {
        return Ok(Epoch::parse(&seconds.as_secs().to_string())?);
    }
    let Some(layer) = image.manifest.layers.last() else { return Ok(Epoch::default()) };
    let Some(compression) = Compression::of_media_type(&layer.media_type) else { return Ok(Epoch::default()) };
    let reader = Box::new(Verified::new(source.open(layer)?, layer));
    let mut time = 0;
    read_entries(LayerInput { reader, compression, diff_id: None::<Digest> }, &ExtractOptions::default(), &mut |entry, _| {
        time = entry.mtime;
        Ok(())
    })?;
    Ok(Epoch::parse(&time.to_string())?)
}

/// Records that one command can build, together.
pub fn groups(records: &[Record]) -> Vec<Vec<&Record>> {
    let mut groups: Vec<Vec<&Record>> = Vec::new();
    for record in records {
        match groups.iter_mut().find(|group| group[0].goes_with(record)) {
            Some(group) => group.push(record),
            None => groups.push(vec![record]),
        }
    }
    groups
}

impl Record {
    fn goes_with(&self, other: &Self) -> bool {
        self.request.goes_with(&other.request)
            && (self.epoch, self.compression, &self.labels) == (other.epoch, other.compression, &other.labels)
    }
}

/// The flags that ask for a group again.
pub fn flags(group: &[&Record]) -> BuildFlags {
    let Request { package, bin, features, all_features, no_default_features, profile, builder, cargo_args, .. } =
        group[0].request.clone();
    BuildFlags {
        packages: vec![package],
        bin,
        features,
        all_features,
        no_default_features,
        profile: Some(profile),
        builder,
        cargo_args,
        targets: group.iter().map(|record| record.request.target.clone()).collect(),
        compression: Some(group[0].compression),
        ..BuildFlags::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_a_key_that_is_not_known_is_refused() {
        let known = r#"{"package":"p","bin":"p","profile":"release","builder":"cargo","target":"t"}"#;
        assert_eq!(Request::parse(known).unwrap().bin.as_deref(), Some("p"));
        for (part, other) in [
            ("bin", "new-key"),
            ("\"p\",\"bin\"", "\"--config=x\",\"bin\""),
            ("\"t\"", "\"../t\""),
            ("\"t\"", "\"own.json\""),
            ("release", "a b"),
            ("\"package\"", "\"features\":[\"-F\"],\"package\""),
            ("\"package\"", "\"features\":[\"a\\u0000\"],\"package\""),
            ("\"package\"", "\"rustflags\":[\"--cfg=x\\u001f-Clinker=sh\"],\"package\""),
            ("\"package\"", "\"package\":\"q\",\"package\""),
        ] {
            assert!(Request::parse(&known.replace(part, other)).is_err(), "{part} -> {other}");
        }
        assert!(Request::parse(&known.replace("\"p\"", &format!("\"{}\"", "p".repeat(2 << 20)))).unwrap_err().len() < 200);
    }
}
