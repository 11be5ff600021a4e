//! `docker-archive:FILE[:NAME:TAG]`: what `docker save` writes, and every `docker load`, `podman load`, `kind` and `ctr` take
//! (moby, `image/spec/v1.2.md`, "Combined Image JSON + Filesystem Changeset Format").
//!
//! `manifest.json`, then `repositories` and a folder for each layer as readers before docker 1.10 want them, then the layers'
//! tars. The configuration is the image's own, byte for byte, so that its digest is the id that docker shows. Layers are
//! uncompressed, under the digest of all that is below them. Such an archive holds one platform of each image and nothing that
//! refers to it.
//!
//! The same images give the same bytes: order of the images, mode 0644, directories 0755, owner 0, time 0. The file is written
//! beside its place and renamed; what lies there already is replaced where it is such an archive, and refused otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::{Value, json};

use super::select::Item;
use super::{Copied, CopyError, Transferred};
use crate::images::unpack::{ImageLayer, layers_of};
use plugin_oci::documents::json::to_canonical;
use plugin_oci::documents::{CONFIG_LIMIT, media_type};
use plugin_oci::failure::Error;
use plugin_oci::fs::{self as durable, FileError, TempFile};
use plugin_oci::layers::unpack::{ExtractError, Limits, inflate};
use plugin_oci::progress::{Event, Outcome, Progress};
use plugin_oci::stores::archive::{append_bytes, append_dir, header};
use plugin_oci::stores::{PlatformImage, Source, platform_images, read_blob, select_platform};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::platform::Platform;
use plugin_oci::values::reference::{LocalReference, Reference, ReferenceError, RegistryReference};

/// The file that lists the images, and the first of an archive of ours.
const LIST: &str = "manifest.json";

/// An archive, and what its image is to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerArchive {
    pub path: PathBuf,
    /// `NAME:TAG`.
    pub name: Option<String>,
}

impl FromStr for DockerArchive {
    type Err = ReferenceError;

    /// Parses what stands after `docker-archive:`.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (path, name) = text.split_once(':').map_or((text, None), |(path, name)| (path, Some(name)));
        // A path as in `oci-archive:`; a name as docker spells it.
        let path = LocalReference::parse(path)?.path;
        let Some(name) = name else { return Ok(Self { path, name: None }) };
        let parsed = RegistryReference::parse(name)?;
        match (&parsed.tag, &parsed.digest) {
            (Some(_), None) => Ok(Self { path, name: Some(name.to_owned()) }),
            _ => Err(ReferenceError::BadRepository(name.to_owned())),
        }
    }
}

/// An image that is about to be written.
struct Chosen {
    image: PlatformImage,
    config: Vec<u8>,
    /// The lowest first, each with the name of its folder.
    layers: Vec<(ImageLayer, String)>,
    names: Vec<String>,
}

/// Writes the archive. `from` is where each item comes from.
pub(super) fn write(
    archive: &DockerArchive,
    items: Vec<Item>,
    from: &[Reference],
    source: &dyn Source,
    progress: &dyn Progress,
) -> Result<Transferred, Error> {
    if archive.name.is_some() && items.len() > 1 {
        return Err(CopyError::OneTag(items.len()).into());
    }
    check_place(&archive.path)?;
    let mut chosen = Vec::new();
    for item in &items {
        let names = match &archive.name {
            Some(name) => vec![name.clone()],
            None => names(item, from),
        };
        chosen.push(choose(item, names, source)?);
    }
    check_names(&chosen)?;
    let dir = archive.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    durable::create_dirs(dir)?;
    let temp = TempFile::new_in(dir)?;
    let mut writer = Writer { tar: tar::Builder::new(temp.reopen()?), path: &archive.path, source, progress };
    let (count, bytes) = writer.images(&chosen)?;
    drop(writer);
    temp.persist(&archive.path, 0o644)?;
    durable::sync_dir(dir)?;
    progress.event(Event::Wrote { path: archive.path.display().to_string() });
    let copied = |(item, chosen): (Item, Chosen)| {
        let (digest, path) = (chosen.image.descriptor.digest, archive.path.display());
        let image = match chosen.names.first() {
            Some(name) => format!("docker-archive:{path}:{name}"),
            None => format!("docker-archive:{path}"),
        };
        Copied { image, digest, tags: item.tags }
    };
    let outcomes = BTreeMap::from([(Outcome::Copied, count)]);
    Ok(Transferred { images: items.into_iter().zip(chosen).map(copied).collect(), outcomes, bytes })
}

/// No name is wanted by two images.
fn check_names(chosen: &[Chosen]) -> Result<(), Error> {
    let mut taken: BTreeMap<&String, &Digest> = BTreeMap::new();
    for image in chosen {
        for name in &image.names {
            let (first, second) = (taken.insert(name, &image.image.descriptor.digest), &image.image.descriptor.digest);
            if let Some(first) = first.filter(|first| *first != second) {
                let (first, second) = (first.to_string(), second.to_string());
                return Err(CopyError::SameTag { tag: name.clone(), first, second }.into());
            }
        }
    }
    Ok(())
}

/// What docker is to call an image: as the registry that it comes from does, else by its own name.
fn names(item: &Item, from: &[Reference]) -> Vec<String> {
    let repository = match from {
        [Reference::Registry(registry)] => Some(registry.name()),
        _ => item.name.clone(),
    };
    let named = |tag: &String| {
        let name = format!("{}:{tag}", repository.as_ref()?);
        RegistryReference::parse(&name).is_ok().then_some(name)
    };
    item.tags.iter().filter_map(named).collect()
}

/// The one platform of an image that goes into the archive: the one that it has, or this machine's with linux as its system,
/// which is what docker runs.
fn choose(item: &Item, names: Vec<String>, source: &dyn Source) -> Result<Chosen, Error> {
    let mut images = platform_images(source, &item.root)?;
    let image = if let (Some(only), true) = (images.pop(), images.is_empty()) {
        only
    } else {
        let docker = Platform { os: "linux".to_owned(), ..Platform::host() };
        select_platform(source, &item.root, &docker)?
    };
    let config = &image.manifest.config;
    if !media_type::is_config(&config.media_type) {
        let digest = image.descriptor.digest.to_string();
        return Err(CopyError::NotForDocker { digest, media_type: config.media_type.clone() }.into());
    }
    let layers = named(layers_of(source, &image)?);
    let config = read_blob(source, config, CONFIG_LIMIT)?;
    Ok(Chosen { image, config, layers, names })
}

/// Refuses to replace what is no archive of this kind.
fn check_place(path: &Path) -> Result<(), Error> {
    let mut head = [0; 512];
    match File::open(path).and_then(|mut file| file.read_exact(&mut head)) {
        Ok(()) if head.starts_with(LIST.as_bytes()) && head[LIST.len()] == 0 && &head[257..262] == b"ustar" => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => match fs::metadata(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::at("read", path)(error).into()),
            _ => Err(CopyError::InTheWay(path.to_owned()).into()),
        },
    }
}

/// What each layer's folder is called: the digest of the layer and all below it. An image configuration has a diff id for each.
fn named(layers: Vec<ImageLayer>) -> Vec<(ImageLayer, String)> {
    let mut below = String::new();
    let name = |layer: ImageLayer| {
        let diff_id = layer.diff_id.as_ref().map(Digest::to_string).unwrap_or_default();
        Digest::of(format!("{below} {diff_id}").as_bytes()).hex().clone_into(&mut below);
        (layer, below.clone())
    };
    layers.into_iter().map(name).collect()
}

struct Writer<'a> {
    tar: tar::Builder<File>,
    path: &'a Path,
    source: &'a dyn Source,
    progress: &'a dyn Progress,
}

impl Writer<'_> {
    /// Everything; how many layers and configurations that are, and how many bytes.
    fn images(&mut self, chosen: &[Chosen]) -> Result<(u64, u64), Error> {
        let (mut list, mut repositories) = (Vec::new(), BTreeMap::<&str, BTreeMap<&str, String>>::new());
        for image in chosen {
            let layers: Vec<String> = image.layers.iter().map(|(_, id)| format!("{id}/layer.tar")).collect();
            list.push(json!({ "Config": config_name(image), "RepoTags": image.names, "Layers": layers }));
            for (name, tag) in image.names.iter().filter_map(|name| name.rsplit_once(':')) {
                repositories.entry(name).or_default().extend(image.layers.last().map(|(_, id)| (tag, id.clone())));
            }
        }
        self.file(LIST, &to_canonical(&Value::Array(list)))?;
        self.file("repositories", &to_canonical(&json!(repositories)))?;
        let (mut bytes, mut written) = (0, BTreeSet::new());
        for image in chosen {
            let name = config_name(image);
            if written.insert(name.clone()) {
                self.file(&name, &image.config)?;
                bytes += image.config.len() as u64;
            }
            bytes += self.layers(image, &mut written)?;
        }
        self.tar.finish().map_err(FileError::at("write", self.path))?;
        Ok((written.len() as u64, bytes))
    }

    fn layers(&mut self, chosen: &Chosen, written: &mut BTreeSet<String>) -> Result<u64, Error> {
        let (mut bytes, mut below) = (0, None);
        for (layer, id) in &chosen.layers {
            let parent = below.replace(id.as_str());
            if written.insert(id.clone()) {
                self.folder(id, parent)?;
                let blob = layer.descriptor.digest.to_string();
                let total = Some(layer.descriptor.size);
                self.progress.event(Event::BlobStarted { blob: blob.clone(), verb: "Writing", total });
                let mut header = header(tar::EntryType::Regular, 0o644, 0);
                let entry = self.tar.append_writer(&mut header, format!("{id}/layer.tar"));
                let mut entry = entry.map_err(FileError::at("write", self.path))?;
                let limits = Limits { unpacked_bytes: u64::MAX, ..Limits::default() };
                let input = layer.input(self.source, self.progress)?;
                inflate(input, &limits, &mut bytes, &mut entry).map_err(|error| match error {
                    ExtractError::Limit(_) => CopyError::Inflates(layer.descriptor.digest.to_string()).into(),
                    error => layer.failed(self.source, error),
                })?;
                entry.finish().map_err(FileError::at("write", self.path))?;
                let (outcome, bytes) = (Outcome::Copied, layer.descriptor.size);
                self.progress.event(Event::BlobFinished { blob, outcome, bytes });
            }
        }
        Ok(bytes)
    }

    /// A layer's folder, but for the layer.
    fn folder(&mut self, id: &str, parent: Option<&str>) -> Result<(), Error> {
        append_dir(&mut self.tar, &format!("{id}/")).map_err(FileError::at("write", self.path))?;
        self.file(&format!("{id}/VERSION"), b"1.0")?;
        let mut about = json!({ "id": id, "created": "1970-01-01T00:00:00Z", "os": "linux" });
        if let Some(parent) = parent {
            about["parent"] = json!(parent);
        }
        self.file(&format!("{id}/json"), &to_canonical(&about))
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        Ok(append_bytes(&mut self.tar, name, bytes).map_err(FileError::at("write", self.path))?)
    }
}

fn config_name(chosen: &Chosen) -> String {
    format!("{}.json", chosen.image.manifest.config.digest.hex())
}
