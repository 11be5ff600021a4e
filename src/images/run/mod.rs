//! `run`: one platform of an image, unpacked, checked, and started as its host would start it.
//!
//! | kind | what happens |
//! |---|---|
//! | `cosmo-router` | the part of the router is played: [`crate::hosts::cosmo::run`] |
//! | `executable`, and images of others | the program takes the place of this process: [`program`] |
//! | `wasm`, `proxy-wasm`, `library` | nothing; the error says what loads them |
//!
//! The image is unpacked to a directory named by the manifest's digest, which stays for the next run: [`workdir`].

mod loader;
pub mod program;
pub mod workdir;

use std::path::PathBuf;

use crate::build::kinds::Kind;
use crate::build::plan::annotations::KIND_KEY;
use crate::build::start::{self, CannotStart, Started};
use plugin_oci::documents::{Config, Descriptor, Document, media_type};
use plugin_oci::failure::{Class, Error, Failure};
use plugin_oci::progress::Progress;
use plugin_oci::stores::{PlatformImage, Selector, Source, read_config, read_document, resolve_for, select_platform};
use plugin_oci::values::platform::Platform;

use crate::hosts::cosmo::run::Router;
pub use program::Program;

/// What to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Which image of the source.
    pub selector: Selector,
    pub platform: Platform,
    /// Arguments for the program.
    pub args: Vec<String>,
    /// Where unpacked images stay, absolute.
    pub cache: PathBuf,
}

/// An image that was unpacked and can be started.
#[derive(Debug)]
pub enum Ready {
    /// A plugin of the router.
    Router(Router),
    Program(Program),
}

/// Finds the image, sees what it is, and unpacks it.
pub fn prepare(source: &dyn Source, options: &RunOptions, progress: &dyn Progress) -> Result<Ready, Error> {
    let root = resolve_for(source, &options.selector, Some(&options.platform))?;
    let kind = kind_of(source, &root)?;
    if !matches!(kind, Kind::Executable | Kind::CosmoRouter) {
        return Err(RunError::NotAProcess { kind }.into());
    }
    if kind == Kind::CosmoRouter && !options.args.is_empty() {
        return Err(RunError::Arguments.into());
    }
    let image = select_platform(source, &root, &options.platform)?;
    let config = read_config(source, &image.manifest.config)?;
    if config.command_line().is_empty() && options.args.is_empty() {
        return Err(RunError::NoEntrypoint { image: source.name() }.into());
    }
    let started = started(source, &image, &config, kind, options, progress)?;
    let dir = workdir::ready(source, &image.descriptor.digest, kind, options, progress)?;
    Ok(match kind {
        Kind::CosmoRouter => Ready::Router(Router::new(root, dir, &config, progress)),
        _ => Ready::Program(Program::new(&dir, &config, &options.args)?.within(&dir, &started)?),
    })
}

/// What the image has for its program, and what lacks. A router starts its plugins in its own system; a script whose interpreter
/// the image has not can be meant for any.
fn started(
    source: &dyn Source,
    image: &PlatformImage,
    config: &Config,
    kind: Kind,
    options: &RunOptions,
    progress: &dyn Progress,
) -> Result<Started, Error> {
    let mut command = start::Command::of(config);
    if !options.args.is_empty() {
        command.line = command_of(config).0;
        command.line.extend(options.args.iter().cloned());
    }
    let platform = config.platform();
    let layers = start::layers_of(source, &image.manifest, config).filter(|_| platform.os == "linux");
    let Some(layers) = layers else { return Ok(Started::default()) };
    let mut started = start::start(&mut start::Root::of(layers)?, &command, &platform.architecture)?;
    if kind == Kind::CosmoRouter {
        if started.loader.is_some() || started.lacks.iter().any(|lack| lack.rule == "start-loader") {
            let text = "the router starts it with the loader and libraries of its own system, not with those of the image";
            progress.warn(text.to_owned(), Some("link it statically".to_owned()));
        }
        return Ok(Started::default());
    }
    if let Some(lack) = started.lacks.iter().find(|lack| lack.rule == "start-interpreter") {
        progress.warn(format!("{lack}; this machine's is used"), None);
        return Ok(Started::default());
    }
    started.lacks.retain(|_| !started.is_absent);
    if started.lacks.is_empty() {
        return Ok(started);
    }
    let program = command.line.into_iter().next().unwrap_or_default();
    Err(CannotStart { program, lacks: started.lacks }.into())
}

/// The kind that the image says it is. Images of other tools say nothing: what has a configuration with a command line is
/// a program.
fn kind_of(source: &dyn Source, root: &Descriptor) -> Result<Kind, Error> {
    let (document, _) = read_document(source, root)?;
    if let Some(word) = document.annotations().get(KIND_KEY) {
        let known = Kind::ALL.into_iter().find(|kind| kind.as_str() == word);
        return known.ok_or_else(|| RunError::UnknownKind { kind: word.clone() }.into());
    }
    match &document {
        Document::Manifest(manifest) if !media_type::is_config(&manifest.config.media_type) => {
            let found = manifest.effective_artifact_type().unwrap_or(&manifest.config.media_type);
            if found.starts_with("application/vnd.wasm.") {
                return Ok(Kind::Wasm);
            }
            Err(RunError::Artifact { artifact_type: found.to_owned() }.into())
        }
        _ => Ok(Kind::Executable),
    }
}

/// Entrypoint and arguments apart, as the configuration has them.
fn command_of(config: &Config) -> (Vec<String>, Vec<String>) {
    let Some(inner) = config.spec().config().as_ref() else { return (Vec::new(), Vec::new()) };
    (inner.entrypoint().clone().unwrap_or_default(), inner.cmd().clone().unwrap_or_default())
}

/// Why an image cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It is loaded by something, not started.
    #[error("a plugin of kind `{}` is no program that could be started", kind.as_str())]
    NotAProcess { kind: Kind },
    /// Others could write to the directory where images are unpacked.
    #[error("`{}` must be a directory that only this user may write", path.display())]
    OpenCache { path: PathBuf },
    /// A kind of a later version.
    #[error("the image says that it is a plugin of kind `{kind}`, which is not known here")]
    UnknownKind { kind: String },
    /// Something that is no image.
    #[error("this is an artifact of type `{artifact_type}`, not an image with a program")]
    Artifact { artifact_type: String },
    /// The router passes no arguments.
    #[error("the router starts its plugins without arguments, and some were given after `--`")]
    Arguments,
    /// Nothing says what to start.
    #[error("the image in {image} has neither entrypoint nor command")]
    NoEntrypoint { image: String },
    /// No such program in the image.
    #[error("the image has no program `{program}`")]
    NoProgram {
        /// What the configuration or the user says.
        program: String,
    },
    /// A link leads to the host's file system.
    #[error("`{program}` leads out of the image, to `{}`", target.display())]
    Outside {
        /// What the configuration or the user says.
        program: String,
        target: PathBuf,
    },
    /// Libraries of this machine would be loaded.
    #[error("`{program}` would be started with libraries that are not the image's: {why}")]
    Libraries {
        /// What the configuration or the user says.
        program: String,
        why: String,
    },
    /// The system refused.
    #[error("failed to start `{}`", path.display())]
    Exec { path: PathBuf, source: std::io::Error },
}

impl Failure for RunError {
    fn class(&self) -> Class {
        match self {
            Self::NotAProcess { .. } | Self::Artifact { .. } | Self::Arguments => Class::Usage,
            _ => Class::Failed,
        }
    }
}
