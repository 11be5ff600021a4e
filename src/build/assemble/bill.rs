//! The bill of materials of an image that was just compiled.

use std::path::Path;

use crate::build::Compiled;
use crate::build::plan::rustflags::is_linux_gnu;
use crate::build::plan::{ImagePlan, Plan, TargetPlan};
use crate::build::sbom::bill::{Bill, Compiler, HashedFile, Libc, PlatformBill};
use crate::build::sbom::format::Format;
use crate::build::sbom::graph::Graph;
use crate::build::toolchain::linker::{LinkerFacts, archive};
use plugin_oci::attachments::Attachment;
use plugin_oci::documents::Descriptor;
use plugin_oci::fs::FileError;
use plugin_oci::fs::stamps::{Fingerprint, Hints};
use plugin_oci::values::digest::{Digest, Hasher};
use plugin_oci::values::platform::split_glibc;

use super::provenance::Toolchain;

/// A document that is to be attached.
#[derive(Clone, Debug)]
pub struct Sbom {
    pub format: Format,
    pub bytes: Vec<u8>,
}

impl Sbom {
    /// The document as an attachment to the image whose root is `subject`.
    pub fn attach(self, subject: &Descriptor) -> Attachment {
        let media_type = self.format.media_type();
        Attachment::builder(media_type, subject).file(self.format.file_name(), media_type, self.bytes).finish()
    }
}

/// What the image is made of.
pub fn bill(
    plan: &Plan,
    image: &ImagePlan,
    (artifacts, graphs): (&[Compiled<'_>], &[Graph]),
    toolchain: &Toolchain,
    hints: &Hints,
) -> Result<Bill, FileError> {
    let hashed = |path: &str, file: &Path| Ok(HashedFile { path: path.to_owned(), digest: digest(file, hints)? });
    let mut platforms = Vec::new();
    for ((target, compiled), graph) in image.targets.iter().zip(artifacts).zip(graphs) {
        let facts = toolchain.linkers.get(&target.target).cloned().unwrap_or_default();
        let libraries = &compiled.checked.bundled;
        platforms.push(PlatformBill {
            platform: target.platform.to_string(),
            graph: graph.clone(),
            artifact: hashed(&target.place.path, &compiled.artifact.path)?,
            libraries: libraries.iter().map(|file| hashed(&file.path, &file.source)).collect::<Result<_, _>>()?,
            compiler: Compiler { release: plan.rustc.release.to_string(), commit: plan.rustc.commit_hash.clone() },
            libc: libc(plan, target, compiled, &facts, hints),
            linker: facts.version,
        });
    }
    let files = image.files.iter().filter(|file| file.link.is_none());
    let files = files.map(|file| hashed(&file.path, &file.source)).collect::<Result<_, _>>()?;
    let (name, version) = (image.name.clone(), image.version.clone());
    Ok(Bill { name, version, files, platforms, epoch: plan.epoch })
}

/// The C library that is linked into an artifact: that of the machine into a static program for Linux with glibc, that which
/// comes with Rust for musl and WASI.
fn libc(plan: &Plan, target: &TargetPlan, compiled: &Compiled<'_>, facts: &LinkerFacts, hints: &Hints) -> Option<Libc> {
    let executable = &compiled.checked.executable;
    if executable.interpreter.is_some() || !executable.needed.is_empty() {
        return None;
    }
    let triple = split_glibc(&target.target).0;
    if is_linux_gnu(triple) {
        let digest = facts.libc.as_ref().and_then(|digest| digest.parse().ok());
        return target.must_be_static.then(|| Libc { name: "glibc", version: facts.libc_version.clone(), digest });
    }
    let name = if triple.contains("musl") { "musl" } else { "wasi-libc" };
    let (digest, _) = archive(&plan.rustc.target_libdir(triple).join("self-contained/libc.a"), hints)?;
    Some(Libc { name, version: None, digest: digest.parse().ok() })
}

/// The digest of a file, which `hints` may know.
fn digest(file: &Path, hints: &Hints) -> Result<Digest, FileError> {
    let mut fingerprint = Fingerprint::default();
    fingerprint.text("content");
    fingerprint.file(file);
    let find = || {
        let mut hasher = Hasher::new();
        let mut open = std::fs::File::open(file).map_err(FileError::at("read", file))?;
        hasher.update_from(&mut open).map_err(FileError::at("read", file))?;
        Ok(hasher.finish())
    };
    hints.known_or(fingerprint, |text| text.parse().ok(), find, |digest| Some(digest.to_string()))
}
