//! The hidden verb by which this program starts itself as a process of a hermetic build.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

/// Which process to be.
#[derive(Debug, Args)]
pub struct StageArgs {
    /// The part to play
    part: Part,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Part {
    /// Enters namespaces.
    Launcher,
    /// The first process inside.
    Init,
}

/// Plays the part. To be called before a thread is started or a file opened.
#[cfg(target_os = "linux")]
pub fn play(args: &StageArgs) -> ExitCode {
    use crate::build::hermetic::Stage;
    match args.part {
        Part::Launcher => Stage::Launcher.play(),
        Part::Init => Stage::Init.play(),
    }
}

/// There is none elsewhere.
#[cfg(not(target_os = "linux"))]
pub fn play(args: &StageArgs) -> ExitCode {
    match args.part {
        Part::Launcher | Part::Init => ExitCode::FAILURE,
    }
}
