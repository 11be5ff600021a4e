//! `attach` and `detach`: files that refer to an image and travel with it. The image and its digest stay as they are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::remove::remove_digest;
use plugin_oci::attachments::{Attachment, TITLE};
use plugin_oci::documents::Descriptor;
use plugin_oci::failure::{Class, Error, Failure};
use plugin_oci::fs::FileError;
use plugin_oci::listing::artifact_type;
use plugin_oci::progress::Progress;
use plugin_oci::stores::open::Stores;
use plugin_oci::stores::{Selector, select_platform};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::platform::Platform;
use plugin_oci::values::reference::Reference;

/// Attachments are held in memory; larger things are images.
const FILES_LIMIT: u64 = 64 << 20;

/// An image, or one platform of it.
#[derive(Clone, Debug)]
pub struct Subject {
    pub image: Reference,
    /// Only the manifest for this platform.
    pub platform: Option<Platform>,
}

/// What to attach.
#[derive(Clone, Debug)]
pub struct Files {
    /// The type of the attachment, a media type (RFC 6838).
    pub artifact_type: String,
    /// The media type of each file; the attachment's own type where none is given.
    pub media_type: Option<String>,
    /// Annotations of the attachment.
    pub annotations: BTreeMap<String, String>,
    /// The files, each under its own name.
    pub files: Vec<PathBuf>,
}

/// An attachment and its image.
#[derive(Clone, Debug, Serialize)]
pub struct Attached {
    /// `HOST/REPO@DIGEST` or `oci:DIR@DIGEST` of the attachment.
    pub image: String,
    /// The attachment's digest.
    pub digest: Digest,
    /// What it refers to.
    pub subject: Digest,
    pub artifact_type: String,
}

/// Attaches files to an image, where the image lies. The same files under the same names are the same attachment.
pub fn attach(subject: &Subject, files: &Files, stores: &Stores<'_>) -> Result<Attached, Error> {
    check_media_type(&files.artifact_type)?;
    let media_type = files.media_type.as_ref().unwrap_or(&files.artifact_type);
    check_media_type(media_type)?;
    let mut left = FILES_LIMIT;
    let mut read = BTreeMap::new();
    for path in &files.files {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| AttachError::NoName(path.clone()))?;
        if read.insert(name, read_file(path, &mut left)?).is_some() {
            return Err(AttachError::SameName(name.to_owned()).into());
        }
    }
    let root = root_of(subject, stores)?;
    let mut builder = Attachment::builder(&files.artifact_type, &root);
    for (name, bytes) in read {
        builder = builder.layer(media_type, bytes, [(TITLE, name)]);
    }
    for (key, value) in &files.annotations {
        builder = builder.annotation(key, value);
    }
    let attachment = builder.finish();
    attachment.write(stores.sink(&subject.image)?.as_ref())?;
    Ok(attached(subject, &root, &attachment.descriptor.digest, files.artifact_type.clone()))
}

/// Which attachments to remove: those of these types and those with these digests.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    pub artifact_types: Vec<String>,
    pub digests: Vec<Digest>,
}

/// Removes attachments of an image, with what refers to them.
pub fn detach(subject: &Subject, chosen: &Chosen, stores: &Stores<'_>, progress: &dyn Progress) -> Result<Vec<Attached>, Error> {
    let root = root_of(subject, stores)?;
    let source = stores.source(&subject.image)?;
    let mut found = Vec::new();
    for referrer in source.referrers(&root.digest)? {
        let kind = artifact_type(source.as_ref(), &referrer)?;
        if chosen.digests.contains(&referrer.digest) || chosen.artifact_types.contains(&kind) {
            found.push((referrer.digest, kind));
        }
    }
    let has_digest = |digest: &&Digest| found.iter().any(|(found, _)| found == *digest);
    let lacks_type = |kind: &&String| !found.iter().any(|(_, found)| found == *kind);
    let absent = chosen.digests.iter().find(|digest| !has_digest(digest)).map(ToString::to_string);
    if let Some(wanted) = absent.or_else(|| chosen.artifact_types.iter().find(lacks_type).cloned()) {
        return Err(AttachError::Absent { image: subject.image.to_string(), wanted }.into());
    }
    let mut gone = Vec::new();
    for (digest, kind) in found {
        remove_digest(&subject.image, &digest, stores, progress)?;
        gone.push(attached(subject, &root, &digest, kind));
    }
    Ok(gone)
}

fn root_of(subject: &Subject, stores: &Stores<'_>) -> Result<Descriptor, Error> {
    let source = stores.source(&subject.image)?;
    let root = source.resolve(&Selector::of(subject.image.tag(), subject.image.digest()))?;
    Ok(match &subject.platform {
        Some(platform) => select_platform(source.as_ref(), &root, platform)?.descriptor,
        None => root,
    })
}

fn attached(subject: &Subject, root: &Descriptor, digest: &Digest, artifact_type: String) -> Attached {
    let image = match &subject.image {
        Reference::Registry(registry) => format!("{}@{digest}", registry.name()),
        Reference::Layout(local) => format!("oci:{}@{digest}", local.path.display()),
        Reference::Archive(local) => format!("oci-archive:{}@{digest}", local.path.display()),
    };
    Attached { image, digest: digest.clone(), subject: root.digest.clone(), artifact_type }
}

fn read_file(path: &Path, left: &mut u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(FileError::at("read", path))?;
    file.take(*left + 1).read_to_end(&mut bytes).map_err(FileError::at("read", path))?;
    *left = left.checked_sub(bytes.len() as u64).ok_or(AttachError::TooLarge { limit: FILES_LIMIT })?;
    Ok(bytes)
}

/// RFC 6838, section 4.2: a type and a subtype, each of at most 127 characters.
fn check_media_type(text: &str) -> Result<(), AttachError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
    let name = |part: &str| {
        part.len() <= 127 && part.bytes().all(allowed) && part.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
    };
    match text.split_once('/') {
        Some((kind, subtype)) if name(kind) && name(subtype) => Ok(()),
        _ => Err(AttachError::MediaType(text.to_owned())),
    }
}

/// What cannot be attached or detached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// No `type/subtype`.
    #[error("`{0}` is no media type (want `type/subtype`)")]
    MediaType(String),
    /// A path that ends in no name that JSON can hold.
    #[error("`{}` has no file name that an attachment could have", .0.display())]
    NoName(PathBuf),
    /// Two files of one name.
    #[error("two files are called `{0}`")]
    SameName(String),
    /// More than is held in memory.
    #[error("the files have more than {limit} bytes together")]
    TooLarge { limit: u64 },
    /// Nothing of that type or digest refers to the image.
    #[error("nothing that is attached to {image} is {wanted}")]
    Absent { image: String, wanted: String },
}

impl Failure for AttachError {
    fn class(&self) -> Class {
        match self {
            Self::Absent { .. } => Class::Failed,
            _ => Class::Usage,
        }
    }
}
