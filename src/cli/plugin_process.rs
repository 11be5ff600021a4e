//! The hidden verb by which this program becomes a plugin that dies with the one that plays its host.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

/// Which plugin, and whose.
#[derive(Debug, Args)]
pub struct PluginProcessArgs {
    /// The process to die with
    parent: u32,
    /// The plugin's program
    program: PathBuf,
}

/// Becomes it. To be called before a signal is handled or a thread started.
pub fn play(args: &PluginProcessArgs) -> ExitCode {
    #[cfg(target_os = "linux")]
    crate::hosts::cosmo::process::become_plugin(args.parent, &args.program);
    #[cfg(not(target_os = "linux"))]
    let _ = args;
    ExitCode::FAILURE
}
