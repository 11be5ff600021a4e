//! The file that an image is for, and its own digest: hosts that keep a list of programs name them by it.

use std::io::{self, Read};
use std::path::{Component, Path};

use serde::Serialize;

use crate::build::kinds::Kind;
use crate::build::plan::annotations::{KIND_KEY, NAME_KEY};
use plugin_oci::documents::{Config, Manifest, media_type};
use plugin_oci::failure::Error;
use plugin_oci::layers::unpack::{ExtractOptions, Kind as EntryKind, LayerInput, read_entries};
use plugin_oci::stores::{Source, Verified};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::{Algorithm, Hasher};

/// The file that an image is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Program {
    /// Its path in the image, without a leading slash; for a module the name that unpacking gives it.
    pub path: String,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
}

/// The paths of a layer, and whether each is a plain file; nothing where it was not read to its end.
pub type Paths<'a> = Option<Vec<(&'a str, bool)>>;

/// Finds it in the uppermost layer that has its path; nothing where that is no plain file, or the layer was not read to its end.
pub fn of(
    source: &dyn Source,
    manifest: &Manifest,
    config: Option<&Config>,
    layers: &[Paths<'_>],
) -> Result<Option<Program>, Error> {
    if let [only] = manifest.layers.as_slice()
        && only.media_type == media_type::WASM
    {
        let name = manifest.annotations.get(NAME_KEY).map_or("module", String::as_str);
        let program = Program { path: format!("{name}.wasm"), sha256: only.digest.hex().to_owned() };
        return Ok(Some(program).filter(|_| only.digest.algorithm() == Algorithm::Sha256));
    }
    let Some(path) = config.and_then(started).or_else(|| loaded(manifest, layers)) else { return Ok(None) };
    for (position, (paths, descriptor)) in layers.iter().zip(&manifest.layers).enumerate().rev() {
        let Some(paths) = paths else { return Ok(None) };
        let Some((_, is_file)) = paths.iter().find(|(found, _)| *found == path) else { continue };
        let Some(compression) = Compression::of_media_type(&descriptor.media_type).filter(|_| *is_file) else {
            return Ok(None);
        };
        let diff_id = config.and_then(|config| config.diff_ids().get(position).cloned());
        let reader = Box::new(Verified::new(source.open(descriptor)?, descriptor));
        let input = LayerInput { reader, compression, diff_id };
        let mut found = None;
        let read = read_entries(input, &ExtractOptions::default(), &mut |entry, body| {
            if entry.kind == EntryKind::File && entry.path == path {
                found = Some(sha256(body)?);
            }
            Ok(())
        });
        return Ok(read.ok().and(found).map(|sha256| Program { path, sha256 }));
    }
    Ok(None)
}

/// What the configuration starts, by a path; a bare name would be looked for.
fn started(config: &Config) -> Option<String> {
    let line = config.command_line();
    let program = line.first().filter(|program| program.contains('/'))?;
    let dir = config.spec().config().as_ref().and_then(|inner| inner.working_dir().clone()).unwrap_or_default();
    let mut parts: Vec<String> = Vec::new();
    for part in Path::new(&dir).join(program).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str()?.to_owned()),
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Some(parts.join("/"))
}

/// What another program loads out of an image that starts nothing: a filter by the name that all have, or the one library.
fn loaded(manifest: &Manifest, layers: &[Paths<'_>]) -> Option<String> {
    match Kind::of_word(manifest.annotations.get(KIND_KEY)?)? {
        Kind::ProxyWasm => Some("plugin.wasm".to_owned()),
        Kind::Library => {
            let paths = layers.last()?.as_ref()?;
            let is_library = |path: &str| !path.contains('/') && [".so", ".dylib", ".dll"].iter().any(|end| path.ends_with(end));
            let mut found = paths.iter().filter(|(path, _)| is_library(path));
            found.next().filter(|_| found.next().is_none()).map(|(path, _)| (*path).to_owned())
        }
        _ => None,
    }
}

fn sha256(body: &mut dyn Read) -> io::Result<String> {
    let mut hasher = Hasher::with(Algorithm::Sha256);
    io::copy(body, &mut hasher)?;
    Ok(hasher.finish().hex().to_owned())
}
