//! What the fuzz targets do with their input: one function for each reader of foreign bytes. The test suite runs the same
//! functions on mutated input, so this file is included there as well. Nothing here may panic, hang or need much memory.

use std::fs;
use std::io::{self, Cursor};
use std::path::Path;

use plugin_build::hosts::cosmo::agreement::{Names, differences};
use plugin_build::hosts::cosmo::generate::{Options, generate};
use plugin_build::hosts::cosmo::process::Api;
use plugin_build::images::attached::{Attached, Table};
use plugin_oci::deltas::patch::Patch;
use plugin_oci::documents::{Config, Document, json};
use plugin_oci::layers::unpack::{ExtractError, ExtractOptions, Extraction, LayerInput, Limits, Rules, read_entries};
use plugin_oci::signatures::keys::KeyFile;
use plugin_oci::signatures::statement::Statement;
use plugin_oci::signatures::{bundle, notation};
use plugin_oci::stores::archive::Archive;
use plugin_oci::stores::layout::Layout;
use plugin_oci::stores::{Source, read_document};
use plugin_oci::trust::policy::demands;
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;
use plugin_oci::values::platform::Platform;
use plugin_oci::values::reference::{Reference, RegistryReference};

/// Small enough that a bomb found by chance ends soon.
fn options(rules: Rules) -> ExtractOptions {
    let limits = Limits { unpacked_bytes: 4 << 20, ratio_from: 1 << 20, entries: 2000, ..Limits::default() };
    ExtractOptions { limits, rules }
}

fn input(compression: Compression, bytes: &[u8]) -> LayerInput<'_> {
    LayerInput { reader: Box::new(Cursor::new(bytes)), compression, diff_id: None }
}

/// A layer of any compression: the first byte says which, and which rules apply.
pub fn tar_reading(data: &[u8]) {
    let Some((first, layer)) = data.split_first() else { return };
    let compression = Compression::ALL[usize::from(first % 3)];
    let rules = if first & 4 == 0 { Rules::Foreign } else { Rules::Strict };
    let mut paths = Vec::new();
    let read = read_entries(input(compression, layer), &options(rules), &mut |entry, body| {
        paths.push(entry.path.clone());
        io::copy(body, &mut io::sink()).map(drop)
    });
    for path in &paths {
        assert!(path.split('/').all(|name| !matches!(name, "." | "..")), "{path}");
        assert!(!path.starts_with('/') && !path.contains('\0') && !path.contains("//"), "{path}");
    }
    drop(read);
}

/// An uncompressed layer applied twice, so that whiteouts and replacements meet something; beside it lies what must not
/// change.
pub fn layer_application(data: &[u8]) {
    let scene = tempfile::tempdir().expect("a temporary directory");
    let (outside, work) = (scene.path().join("sentinel"), scene.path().join("work"));
    fs::create_dir(&work).expect("a fresh directory");
    fs::write(&outside, "untouched").expect("a fresh file");
    let applied = apply(data, &work.join("out"));
    assert_eq!(fs::read(&outside).expect("it is still there"), b"untouched");
    let left = plugin_oci::fs::sorted_listing(&work).expect("it is still there");
    let expected: &[&str] = if applied.is_ok() { &["out"] } else { &[] };
    assert_eq!(left, expected, "{applied:?}");
    // Whatever modes the archive asked for.
    drop(plugin_oci::layers::unpack::remove_tree(&work));
}

fn apply(data: &[u8], target: &Path) -> Result<(), ExtractError> {
    let extraction = Extraction::begin(target, options(Rules::Foreign))?;
    let extraction = extraction.apply(input(Compression::None, data))?;
    extraction.apply(input(Compression::None, data))?.commit().map(drop)
}

/// The documents of a layout: as its index, and as every kind of document behind it.
pub fn documents(data: &[u8]) {
    for media_type in [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ] {
        if let Ok(document) = Document::parse(data, media_type) {
            for child in document.children() {
                assert!(child.digest.hex().bytes().all(|byte| byte.is_ascii_hexdigit()));
            }
        }
    }
    drop(Config::parse(data).map(|config| (config.platform(), config.command_line())));
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a fresh file");
    fs::write(dir.path().join("index.json"), data).expect("a fresh file");
    layout(dir.path());
}

/// Everything that a layout is asked for.
pub fn layout(dir: &Path) {
    let Ok(layout) = Layout::open(dir) else { return };
    for tagged in layout.tags().unwrap_or_default() {
        if let Ok((document, _)) = read_document(&layout, &tagged.root) {
            for child in document.children() {
                drop(layout.is_sound(child));
            }
        }
        drop(layout.referrers(&tagged.root.digest));
    }
}

/// An image layout as one tar file.
pub fn archives(data: &[u8]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("archive.tar");
    fs::write(&path, data).expect("a fresh file");
    let Ok(archive) = Archive::open(&path) else { return };
    for tagged in archive.tags().unwrap_or_default() {
        drop(read_document(&archive, &tagged.root));
        drop(archive.referrers(&tagged.root.digest));
    }
}

/// A patch, as it comes and as what stands in its frame, over a base of a thousand bytes.
pub fn deltas(data: &[u8]) {
    let limits = options(Rules::Foreign).limits;
    let content = &data[..data.len().min(100_000)];
    // One block that is stored (RFC 8878, 3.1.1).
    let block = u32::try_from(content.len()).unwrap_or_default() << 3 | 1;
    let frame = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x38], &block.to_le_bytes()[..3], content].concat();
    for patch in [data, &frame] {
        let mut made = Vec::new();
        let Ok(patch) = Patch::open(patch, 1 << 20, &limits) else { continue };
        let size = patch.size;
        let whole = patch.apply(Cursor::new([5; 1000]), &mut made).is_ok();
        assert!(made.len() as u64 == size || !whole && (made.len() as u64) < size);
    }
}

/// What says something of an image: signatures of every form, statements, keys, policies and bills of materials.
pub fn evidence(data: &[u8]) {
    let subject = Digest::of(b"an image");
    drop(bundle::Unverified::parse(data).map(|bundle| Statement::parse(bundle.payload(), &subject)));
    drop(notation::Unverified::parse(data).map(|envelope| envelope.payload().len()));
    drop(Statement::parse(data, &subject));
    let key = KeyFile::of("a key", data);
    drop((key.is_encrypted(), key.public(0), key.certificates(0)));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (policy, reference) = (dir.path().join("policy"), "registry.example/a:1".parse().expect("a reference"));
    fs::write(&policy, data).expect("a fresh file");
    drop(demands(&policy, &reference, 0));
    if let Ok(document) = json::parse(data) {
        let (media_type, bytes) = ("application/vnd.cyclonedx+json".to_owned(), data.to_vec());
        let table = Table::of(&Attached { digest: subject, media_type, bytes, document });
        let counted: usize = table.licenses.values().sum();
        assert!(counted <= table.parts.len());
    }
}

/// References and platforms: what is accepted must come out again as it went in.
pub fn references(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(reference.to_string().parse::<Reference>().as_ref(), Ok(&reference), "{text}");
    }
    drop(RegistryReference::parse(text));
    if let Ok(platform) = text.parse::<Platform>() {
        assert_eq!(platform.to_string(), text);
    }
}

/// Headers that registries send.
pub fn headers(data: &[u8]) {
    use plugin_oci::stores::registry::fuzzing;
    let Ok(text) = std::str::from_utf8(data) else { return };
    fuzzing::challenge(text);
    fuzzing::location(text);
    fuzzing::pause(text);
    fuzzing::text(text);
}

/// A schema, and behind a NUL the lock of the last generation. What comes of it can go on from its own lock.
pub fn contracts(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (schema, lock) = text.split_once('\0').map_or((&*text, None), |(schema, lock)| (schema, Some(lock)));
    let options = Options::of_plugin("fuzz");
    if let Ok(made) = generate(schema, &options, lock) {
        assert!(generate(schema, &options, Some(&made.lock)).is_ok(), "{schema}\n{}", made.lock);
    }
}

/// A schema, and behind a NUL each a mapping and a proto that may be those of another.
pub fn agreements(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split('\0');
    let (Some(schema), Some(mapping), Some(proto)) = (parts.next(), parts.next(), parts.next()) else { return };
    let Ok(made) = generate(schema, &Options::of_plugin("fuzz"), None) else { return };
    let compared = |mapping: &str, proto: &str| {
        let names = Names::of(&serde_json::from_str(mapping).ok()?);
        differences(&made, Api::of_source("service.proto", proto.as_bytes()).ok()?.pool(), &names).ok()
    };
    drop(compared(mapping, proto));
    assert_eq!(compared(&made.mapping, &made.proto), Some(Vec::new()), "{schema}");
}
