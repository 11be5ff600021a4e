//! Completions: scripts of ours for the shells that ask the program, clap's for the others; and the command line as it is shown.

use std::process::ExitCode;

use clap::{Args, Command};

use super::complete;
use super::context::Context;

/// The program's own name.
pub const NAME: &str = "cargo-plugin-build";

/// Flags of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints completions.
pub fn completions(args: &CompletionsArgs, all: &Command, context: &Context) -> ExitCode {
    if let Some(script) = complete::script(args.shell) {
        context.print_bytes(script.as_bytes());
        return ExitCode::SUCCESS;
    }
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut visible(all).bin_name(NAME), NAME, &mut text);
    context.print_bytes(&text);
    ExitCode::SUCCESS
}

/// The command line without the verbs that only this program itself uses, which clap would tell too.
pub fn visible(all: &Command) -> Command {
    let verbs: Vec<Command> = all.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned().collect();
    let shown = Command::new(NAME).version(env!("CARGO_PKG_VERSION")).about(all.get_about().cloned().unwrap_or_default());
    shown
        .args(all.get_arguments().cloned())
        .groups(all.get_groups().cloned())
        .args_conflicts_with_subcommands(true)
        .subcommands(verbs)
}
