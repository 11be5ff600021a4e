//! The shape of the command line: its verbs. Each verb's flags are in the verb's file.

use clap::{Parser, Subcommand};

use super::global::GlobalArgs;

/// Build Rust plugins into reproducible OCI images, without Docker or any daemon.
#[derive(Debug, Parser)]
#[command(name = "cargo plugin-build", bin_name = "cargo plugin-build", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub verb: Option<Verb>,
    #[command(flatten)]
    pub build: super::build::BuildVerbArgs,
}

/// What to do; building is what happens without a word.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Compile plugins and write their images (the default)
    Build(Box<super::build::BuildVerbArgs>),
    /// Make a plugin from a template, in a new directory
    New(super::new::NewArgs),
    /// Make a plugin from a template, in a directory that exists
    Init(super::new::InitArgs),
    /// Remove a plugin from where a host loads it
    Uninstall(super::install::UninstallArgs),
    /// Write the contract of a Cosmo Router plugin, from its GraphQL schema
    Generate(super::generate::GenerateArgs),
    /// Start a plugin as its host would: unpack, shake hands, ask for health, stop
    Run(Box<super::run::RunArgs>),
    /// Build and install (or run) a router's plugin at each change
    Dev(Box<super::dev::DevArgs>),
    /// List the images of a store
    Ls(super::list::ListArgs),
    /// Show an image: platforms, layers, files, configuration, attachments
    Inspect(super::inspect::InspectArgs),
    /// Show what an image is made of: crates, licences, files (SBOM)
    Sbom(super::sbom::AttachedArgs),
    /// Show what an image was built from and with which tools
    Provenance(super::sbom::AttachedArgs),
    /// Tell every difference of two images, from an annotation to a section of a program
    Diff(super::diff::DiffArgs),
    /// Check every digest, size and rule of an image or a whole layout
    Verify(super::verify::VerifyArgs),
    /// Make a pair of keys for signing
    Keygen(super::keygen::KeygenArgs),
    /// Sign an image, with its SBOM and provenance
    Sign(super::sign::SignArgs),
    /// Sign something else about an image
    Attest(super::sign::AttestArgs),
    /// Unpack one platform of an image into a directory
    Unpack(super::unpack::UnpackArgs),
    /// Place a plugin where a host loads it from the file system
    Install(Box<super::install::InstallArgs>),
    /// Write the contract of a Cosmo Router plugin as files, or compare two
    Contract(super::contract::ContractArgs),
    /// Tell a Cosmo Router which images its plugins come from
    Router(super::router::RouterArgs),
    /// Copy images from any store to any store
    Copy(super::copy::CopyArgs),
    /// Push an image to registries; without one, the selected package is built first
    Push(Box<super::push::PushArgs>),
    /// Pull an image from a registry into a layout
    Pull(super::pull::PullArgs),
    /// Write images into a bucket or a directory that serves as a registry
    Publish(super::publish::PublishArgs),
    /// Remove a tag or an image from what was published
    Unpublish(super::publish::UnpublishArgs),
    /// Attach files to an image: they refer to it and travel with it
    Attach(super::attach::AttachArgs),
    /// Remove attachments of an image
    Detach(super::attach::DetachArgs),
    /// Store credentials for a registry
    Login(super::login::LoginArgs),
    /// Forget the credentials for a registry
    Logout(super::login::LogoutArgs),
    /// Remove a tag or an image, and what only it reached
    Rm(super::remove::RemoveArgs),
    /// Remove what no tag reaches
    Gc(super::gc::GcArgs),
    /// A process of a hermetic build; started by this program only
    #[command(hide = true)]
    HermeticStage(super::hermetic::StageArgs),
    /// A plugin that is run; started by this program only
    #[command(hide = true)]
    PluginProcess(super::plugin_process::PluginProcessArgs),
    /// What may stand where the cursor is; asked by the scripts of `completions`
    #[command(hide = true)]
    Complete(super::complete::CompleteArgs),
    /// Print completions for a shell
    Completions(super::docs::CompletionsArgs),
    /// Print the manual, or write it as files: a page for each verb
    Man(super::man::ManArgs),
    /// Print a JSON schema of the configuration or of results
    Schema(super::schema::SchemaArgs),
}
