//! Completions and the manual pages, generated from the command line's definition.

use std::process::ExitCode;

use clap::{Args, Command};

use super::context::Context;
use plugin_oci::failure::{Complaint, Error};

const NAME: &str = "cargo-plugin-build";

/// Flags of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints completions.
pub fn completions(args: &CompletionsArgs, all: &Command, context: &Context) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut visible(all).bin_name(NAME), NAME, &mut text);
    context.print_bytes(&text);
    ExitCode::SUCCESS
}

/// Prints the manual page of the program, and after it that of every verb.
pub fn manual(all: &Command, context: &Context) -> Result<ExitCode, Error> {
    let mut command = visible(all).disable_help_subcommand(true);
    command.build();
    let mut text = Vec::new();
    let rendered = pages(&command, &mut text);
    rendered.map_err(|error| Complaint::failed(format!("cannot make the manual page: {error}")))?;
    context.print_bytes(&text);
    Ok(ExitCode::SUCCESS)
}

/// The page of a command, and after it those of its verbs.
fn pages(command: &Command, text: &mut Vec<u8>) -> std::io::Result<()> {
    clap_mangen::Man::new(command.clone()).render(text)?;
    command.get_subcommands().try_for_each(|verb| pages(verb, text))
}

/// The command line without the verbs that only this program itself uses, which clap would tell too.
fn visible(all: &Command) -> Command {
    let verbs: Vec<Command> = all.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned().collect();
    let shown = Command::new(NAME).version(env!("CARGO_PKG_VERSION")).about(all.get_about().cloned().unwrap_or_default());
    shown
        .args(all.get_arguments().cloned())
        .groups(all.get_groups().cloned())
        .args_conflicts_with_subcommands(true)
        .subcommands(verbs)
}
