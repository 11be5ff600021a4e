//! The command line: arguments in, results on stdout, everything else on stderr, an exit code out.
//!
//! One file per verb holds its flags and its rendering; the work itself is in [`crate::images`]. Exit codes: 0 done; 1 the work
//! failed, or what was asked for is absent or unreachable; 2 bad flags, reference or metadata; 3 a verb that looks for
//! problems found some; 130 and 143 on SIGINT and SIGTERM.

mod args;
mod attach;
mod build;
mod build_flags;
mod command;
mod complete;
mod context;
mod contract;
mod copy;
mod default_layout;
mod dev;
mod diff;
mod docs;
mod failure;
mod foreign;
mod gc;
mod generate;
mod global;
mod hermetic;
mod hints;
mod image;
mod inspect;
mod install;
mod keygen;
mod keys;
mod limits;
mod list;
mod login;
mod man;
mod new;
mod output;
mod plugin_process;
mod publish;
mod pull;
mod push;
mod remove;
mod rendered;
mod router;
mod run;
mod sbom;
mod schema;
mod sign;
mod signals;
mod terminal;
mod trust;
mod unpack;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::FromArgMatches as _;

use args::{Cli, Verb};
use command::{advise, command};
use context::Context;
use terminal::Terminal;

use crate::build::plan::identity::{self, Identity};
use plugin_oci::environment::Environment;
use plugin_oci::failure::Error;

/// Runs the program on the process's arguments and environment.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
    let variable = std::env::var_os(identity::VARIABLE);
    if let Some(identity) = Identity::of_call(variable.as_deref(), arguments.get(1..).unwrap_or_default()) {
        let texts = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        return identity.call(&arguments[1..], &texts.collect());
    }
    let arguments = verb_first(without_cargo_word(arguments));
    let cli = match command().try_get_matches_from(&arguments).and_then(|found| Cli::from_arg_matches(&found)) {
        Ok(cli) => cli,
        Err(mut error) => {
            advise(&mut error);
            // clap prints help and version to stdout (exit 0), errors to stderr (exit 2).
            drop(error.print());
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            if error.use_stderr() && asks_for_json(&arguments) {
                failure::print_refused(&error.to_string(), code);
            }
            return ExitCode::from(code);
        }
    };
    match &cli.verb {
        Some(Verb::HermeticStage(args)) => return hermetic::play(args),
        Some(Verb::PluginProcess(args)) => return plugin_process::play(args),
        _ => {}
    }
    signals::watch();
    let mut environment = Environment::new(std::env::vars_os(), std::env::current_dir().unwrap_or_default());
    environment.program = std::env::current_exe().ok();
    environment.remove(identity::VARIABLE);
    let terminal = Terminal::new(&cli.global);
    let context = Context::new(environment, &cli.global, &terminal);
    let code = match run(cli, &context).and_then(|code| context.written().map(|()| code)) {
        Ok(code) => code,
        Err(error) => failure::report(&error, &context),
    };
    let code = context.keep_results().map_or_else(|error| failure::report(&error, &context), |()| code);
    context.finish();
    code
}

/// cargo calls `cargo-plugin-build plugin-build ...`; called directly, the word is missing.
fn without_cargo_word(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if arguments.get(1).is_some_and(|word| word == "plugin-build") {
        arguments.remove(1);
    }
    arguments
}

/// Whether a command line that cannot be parsed asks for JSON all the same.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let value = |pair: &[OsString]| pair[0] == "--message-format" && pair[1].to_string_lossy().starts_with("json");
    let together = |word: &OsString| word.to_string_lossy().starts_with("--message-format=json");
    arguments.windows(2).any(value) || arguments.iter().any(together)
}

/// Global flags may stand before the verb: the verb is moved in front of them. (For clap, flags before a verb are those of
/// `build`, which no other verb takes.)
fn verb_first(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if !arguments.get(1).is_some_and(|word| word.as_encoded_bytes().starts_with(b"-")) {
        return arguments; // most calls: the whole command line need not be described twice
    }
    let command = command();
    let mut at = 1;
    while let Some(word) = arguments.get(at).and_then(|word| word.to_str()) {
        let of_word = |argument: &&clap::Arg| {
            let long = word.strip_prefix("--").map(|long| long.split('=').next().unwrap_or(long));
            let short = word.strip_prefix('-').filter(|short| !short.starts_with('-')).and_then(|short| short.chars().next());
            argument.is_global_set()
                && (argument.get_long().is_some() && argument.get_long() == long
                    || argument.get_short().is_some() && argument.get_short() == short)
        };
        let Some(argument) = command.get_arguments().find(of_word) else { break };
        let apart = argument.get_action().takes_values() && !word.contains('=');
        at += if apart { 2 } else { 1 };
    }
    let is_verb = arguments.get(at).and_then(|word| word.to_str()).is_some_and(|word| command.find_subcommand(word).is_some());
    if is_verb {
        let verb = arguments.remove(at);
        arguments.insert(1, verb);
    }
    arguments
}

fn run(cli: Cli, context: &Context) -> Result<ExitCode, Error> {
    match cli.verb {
        None => build::build(&cli.build, context),
        Some(Verb::Build(args)) => build::build(&args, context),
        Some(Verb::New(args)) => new::new(args, context),
        Some(Verb::Init(args)) => new::init(args, context),
        Some(Verb::Generate(args)) => generate::generate(args, context),
        Some(Verb::Run(args)) => run::run(*args, context),
        Some(Verb::Dev(args)) => dev::dev(*args, context),
        Some(Verb::Ls(args)) => list::list(&args, context),
        Some(Verb::Inspect(args)) => inspect::inspect(&args, context),
        Some(Verb::Sbom(args)) => sbom::sbom(&args, context),
        Some(Verb::Provenance(args)) => sbom::provenance(&args, context),
        Some(Verb::Diff(args)) => diff::diff(&args, context),
        Some(Verb::Verify(args)) => verify::verify(&args, context),
        Some(Verb::Keygen(args)) => keygen::keygen(&args, context),
        Some(Verb::Sign(args)) => sign::sign(&args, context),
        Some(Verb::Attest(args)) => sign::attest(&args, context),
        Some(Verb::Unpack(args)) => unpack::unpack(&args, context),
        Some(Verb::Install(args)) => install::install(*args, context),
        Some(Verb::Uninstall(args)) => install::uninstall(&args, context),
        Some(Verb::Contract(args)) => contract::contract(&args, context),
        Some(Verb::Router(args)) => router::router(args, context),
        Some(Verb::Copy(args)) => copy::copy(args, context),
        Some(Verb::Push(args)) => push::push(*args, context),
        Some(Verb::Pull(args)) => pull::pull(&args, context),
        Some(Verb::Publish(args)) => publish::publish(args, context),
        Some(Verb::Unpublish(args)) => publish::unpublish(&args, context),
        Some(Verb::Attach(args)) => attach::attach(args, context),
        Some(Verb::Detach(args)) => attach::detach(args, context),
        Some(Verb::Login(args)) => login::login(&args, context),
        Some(Verb::Logout(args)) => login::logout(&args, context),
        Some(Verb::Rm(args)) => remove::remove(&args, context),
        Some(Verb::Gc(args)) => gc::collect(&args, context),
        // They never get here: their processes have one thread and nothing open.
        Some(Verb::HermeticStage(args)) => Ok(hermetic::play(&args)),
        Some(Verb::PluginProcess(args)) => Ok(plugin_process::play(&args)),
        Some(Verb::Completions(args)) => Ok(docs::completions(&args, &command(), context)),
        Some(Verb::Complete(args)) => Ok(complete::complete(&args, &command(), context)),
        Some(Verb::Man(args)) => man::manual(&args, &command(), &command::EXAMPLES, context),
        Some(Verb::Schema(args)) => Ok(schema::print(&args, context)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(line: &str) -> String {
        let words = verb_first(line.split(' ').map(OsString::from).collect());
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn global_flags_may_stand_before_the_verb() {
        assert_eq!(moved("x -v push a"), "x push -v a");
        assert_eq!(
            moved("x -vv --color always --message-format=json ls oci:a"),
            "x ls -vv --color always --message-format=json oci:a"
        );
        assert_eq!(moved("x -v --workspace"), "x -v --workspace");
        assert_eq!(moved("x -t ls"), "x -t ls", "the value of a flag of build is no verb");
        command().debug_assert();
    }
}
