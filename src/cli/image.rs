//! The image of a verb that goes on with one: named, or built first, or (`--no-build`) as the last build left it.

use std::path::PathBuf;

use clap::Args;

use super::build_flags::BuildArgs;
use super::context::Context;
use super::default_layout::{last_built, not_one};
use super::hints::Advise as _;
use crate::build::kinds::Kind;
use crate::build::plan::Plan;
use crate::build::plan::annotations::KIND_KEY;
use crate::build::{self, Built};
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::stores::{Selector, Source, read_document};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::platform::Platform;
use plugin_oci::values::reference::{LocalReference, Reference};
use plugin_oci::values::tag::Tag;

/// The image, and how to build it where none is named.
#[derive(Debug, Clone, Default, Args)]
pub struct ImageArgs {
    /// The image: `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker://HOST/REPO[:TAG][@DIGEST]`; without one, the selected
    /// package is built
    image: Option<String>,
    /// Take what the last build left instead of building
    #[arg(long, conflicts_with = "image", help_heading = "Packages")]
    no_build: bool,
    #[command(flatten)]
    build: BuildArgs,
}

/// An image in an opened store.
pub struct Chosen<'c> {
    /// The store.
    pub source: Box<dyn Source + 'c>,
    /// The image in it.
    pub selector: Selector,
    /// What names the image.
    pub reference: Reference,
    /// Whether somebody named it, and it was not built here.
    pub is_named: bool,
}

/// What is meant by an image that was named, or by none.
pub struct Meant {
    /// The image; one that nobody named is named by its digest.
    pub reference: Reference,
    /// The tags that are meant of one that nobody named; of one that was named, those that the reference means.
    pub tags: Vec<Tag>,
}

impl Meant {
    /// What a build made.
    pub fn of_build(built: &Built) -> Self {
        Self::by_digest(built.layout.clone(), built.digest.clone(), built.tags.clone())
    }

    fn by_digest(path: PathBuf, digest: Digest, tags: Vec<Tag>) -> Self {
        Self { reference: Reference::Layout(LocalReference { path, name: None, digest: Some(digest) }), tags }
    }
}

impl ImageArgs {
    /// The same from parts, for a verb whose words mean more than an image.
    pub fn of(image: Option<String>, no_build: bool, build: BuildArgs) -> Self {
        Self { image, no_build, build }
    }

    /// The arguments after `--`, for a verb that has a use of its own for them.
    pub fn take_arguments(&mut self) -> Vec<String> {
        self.build.take_arguments()
    }

    /// The one platform asked for, or this machine's.
    pub fn platform(&self) -> Result<Platform, Error> {
        match self.build.platforms() {
            [] => Ok(Platform::host()),
            [only] => Ok(only.clone()),
            several => {
                let names: Vec<String> = several.iter().map(ToString::to_string).collect();
                Err(Complaint::usage(format!("one platform can be chosen here, not {}", names.join(" and "))).into())
            }
        }
    }

    /// Opens the store, after a build where that is wanted. What is to be built is first asked whether it will do.
    pub fn open<'c>(&self, context: &'c Context, will_do: impl Fn(Kind) -> Result<(), Error>) -> Result<Chosen<'c>, Error> {
        let Meant { reference, .. } = self.meant(context, will_do)?;
        let source = context.stores().source(&reference)?;
        let selector = Selector::of(reference.tag(), reference.digest());
        Ok(Chosen { source, selector, reference, is_named: self.image.is_some() })
    }

    /// The image that is meant, after a build where that is wanted.
    pub fn meant(&self, context: &Context, will_do: impl Fn(Kind) -> Result<(), Error>) -> Result<Meant, Error> {
        if let Some(image) = &self.image {
            if self.build.is_of_build() {
                return Err(Complaint::usage(format!("`{image}` is named and not built: flags of a build mean nothing for it"))
                    .with_hint("leave the image out to build one, or the flags of `Cargo`, `Packages` and `Image` other than `--platform`")
                    .into());
            }
            return Ok(Meant { reference: context.image(image)?, tags: Vec::new() });
        }
        if !self.no_build {
            let built = build_one(&self.build, context, will_do)?;
            return Ok(Meant::of_build(&built));
        }
        let last = last_built(&self.build.flags(&context.global)?, context)?;
        let tag = last.tags.first().cloned();
        let source = context.stores().source(&Reference::layout(&last.output, tag.clone()))?;
        let root = source.resolve(&Selector::of(tag.as_deref(), None))?;
        let annotations = read_document(source.as_ref(), &root)?.0.annotations().clone();
        if let Some(kind) = annotations.get(KIND_KEY).and_then(|word| Kind::of_word(word)) {
            will_do(kind)?;
        }
        Ok(Meant::by_digest(last.output, root.digest, last.tags))
    }
}

/// Builds the one selected plugin for a verb that goes on with it.
fn build_one(args: &BuildArgs, context: &Context, will_do: impl Fn(Kind) -> Result<(), Error>) -> Result<Built, Error> {
    let flags = args.flags(&context.global)?;
    let plan = build::plan(&flags, &context.env, context.progress())?;
    let [only] = plan.images.as_slice() else { return Err(not_one(packages(&plan)).into()) };
    will_do(only.kind)?;
    build::build(&plan, &context.global.registries.settings(), &context.env, context.progress())?
        .pop()
        .ok_or_else(|| Complaint::failed("nothing was built").into())
}

fn packages(plan: &Plan) -> impl Iterator<Item = &str> {
    plan.images.iter().map(|image| image.package.as_str())
}
