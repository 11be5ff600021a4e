//! Completions and the manual page, generated from the command line's definition.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};

use super::args::Cli;

/// Flags of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints completions.
pub fn completions(args: &CompletionsArgs) -> ExitCode {
    let mut command = Cli::command().name("cargo-plugin-build").bin_name("cargo-plugin-build");
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "cargo-plugin-build", &mut text);
    print(&text)
}

/// Prints the manual page.
pub fn manual() -> ExitCode {
    let mut text = Vec::new();
    match clap_mangen::Man::new(Cli::command().name("cargo-plugin-build")).render(&mut text) {
        Ok(()) => print(&text),
        Err(_) => ExitCode::FAILURE,
    }
}

fn print(text: &[u8]) -> ExitCode {
    drop(std::io::stdout().write_all(text));
    ExitCode::SUCCESS
}
