//! Flags that every verb takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use plugin_oci::stores::registry::{Floor, Settings, Timeouts};

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
    /// Write all results to a file as well, as one JSON document
    #[arg(long, value_name = "FILE", global = true)]
    pub metadata_file: Option<PathBuf>,
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
    /// One JSON object a line: results and errors.
    Json,
    /// The same, and what is being done.
    JsonProgress,
}
