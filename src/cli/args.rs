//! The shape of the command line: global flags and verbs. Each verb's own flags are in the verb's file.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use plugin_oci::stores::registry::{Floor, Settings, Timeouts};

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

/// Flags that every verb takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct GlobalArgs {
    /// Say more; twice, also what is sent and received
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Say nothing but results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// When to use colour
    #[arg(long, value_name = "WHEN", global = true, value_enum, default_value_t)]
    pub color: ColorChoice,
    /// What stdout carries
    #[arg(long, value_name = "FORMAT", global = true, value_enum, default_value_t)]
    pub message_format: MessageFormat,
    #[command(flatten)]
    pub registries: RegistryArgs,
}

/// How to reach registries. Every verb that takes an image may take one from there.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Registries")]
pub struct RegistryArgs {
    /// Auth file; without it that of `REGISTRY_AUTH_FILE`, or podman's and docker's own
    #[arg(long, value_name = "FILE", global = true)]
    pub authfile: Option<PathBuf>,
    /// Host to reach without encryption, with or without a port (repeatable); this machine needs no such word
    #[arg(long, value_name = "HOST", global = true)]
    pub plain_http: Vec<String>,
    /// File with further trusted authorities, PEM (repeatable)
    #[arg(long, value_name = "FILE", global = true)]
    pub tls_ca: Vec<PathBuf>,
    /// Token server outside the registry's own domain, or at another port, that may see its credentials (repeatable)
    #[arg(long, value_name = "HOST[:PORT]", global = true)]
    pub trust_realm: Vec<String>,
    /// Bytes a second, over a minute, below which a connection to a registry is given up; 0 for any speed
    #[arg(long, value_name = "BYTES", global = true, default_value_t = Floor::default().speed)]
    pub min_speed: u64,
}

impl RegistryArgs {
    /// The flags as decided values.
    pub fn settings(&self) -> Settings {
        Settings {
            authfile: self.authfile.clone(),
            plain_http: self.plain_http.clone(),
            authorities: self.tls_ca.clone(),
            trust_realms: self.trust_realm.clone(),
            timeouts: Timeouts { floor: Floor { speed: self.min_speed, ..Floor::default() }, ..Timeouts::default() },
        }
    }
}

/// When to use colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// Where the stream can show it.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl ColorChoice {
    /// The word that cargo takes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

/// What stdout carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum MessageFormat {
    /// One result a line.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
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
    /// Start a plugin as its host would: unpack, shake hands, ask for health, stop
    Run(Box<super::run::RunArgs>),
    /// List the images of a store
    Ls(super::list::ListArgs),
    /// Show an image: platforms, layers, files, configuration, attachments
    Inspect(super::inspect::InspectArgs),
    /// Tell every difference of two images, from an annotation to a section of a program
    Diff(super::diff::DiffArgs),
    /// Check every digest, size and rule of an image or a whole layout
    Verify(super::verify::VerifyArgs),
    /// Unpack one platform of an image into a directory
    Unpack(super::unpack::UnpackArgs),
    /// Place a plugin where a host loads it from the file system
    Install(Box<super::install::InstallArgs>),
    /// Copy images from any store to any store
    Copy(super::copy::CopyArgs),
    /// Push an image to registries; without one, the selected package is built first
    Push(Box<super::push::PushArgs>),
    /// Pull an image from a registry into a layout
    Pull(super::pull::PullArgs),
    /// Store credentials for a registry
    Login(super::login::LoginArgs),
    /// Forget the credentials for a registry
    Logout(super::login::LogoutArgs),
    /// Remove a tag, and what only it reached
    Rm(super::remove::RemoveArgs),
    /// Remove what no tag reaches
    Gc(super::tidy::GcArgs),
    /// A process of a hermetic build; started by this program only
    #[command(hide = true)]
    HermeticStage(super::hermetic::StageArgs),
    /// A plugin that is run; started by this program only
    #[command(hide = true)]
    PluginProcess(super::plugin_process::PluginProcessArgs),
    /// Print completions for a shell
    Completions(super::docs::CompletionsArgs),
    /// Print the manual page
    Man,
}
