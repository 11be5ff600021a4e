//! The shape of the command line: global flags and verbs. Each verb's own flags are in the verb's file.

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Remove a tag, and what only it reached
    Rm(super::remove::RemoveArgs),
    /// Remove what no tag reaches
    Gc(super::tidy::GcArgs),
    /// A process of a hermetic build; started by this program only
    #[command(hide = true)]
    HermeticStage(super::hermetic::StageArgs),
    /// Print completions for a shell
    Completions(super::docs::CompletionsArgs),
    /// Print the manual page
    Man,
}
