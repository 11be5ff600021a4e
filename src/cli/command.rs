//! The command line as people see it: what its types say, an example for each verb, and each flag only where it does
//! something.

use clap::builder::{StyledStr, Styles};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory as _};

use super::args::Cli;
use super::foreign;
use crate::build::nearest::nearest;

/// For each verb, words that it can be called with.
pub const EXAMPLES: [(&str, &[&str]); 34] = [
    (
        "build",
        &["", "--push ghcr.io/me/greeter", "--workspace --push ghcr.io/me/", "--platform linux/amd64 --platform linux/arm64"],
    ),
    ("new", &["greeter", "hello --template cosmo-router"]),
    ("init", &["", "--template wasm"]),
    ("uninstall", &["hello router/plugins"]),
    ("generate", &["", "--check"]),
    ("run", &["-- --port 8080", "ghcr.io/me/greeter:1.0", "--call QueryHello '{\"name\":\"Ana\"}'"]),
    ("dev", &["", "--router-config config.json --plugins router/plugins"]),
    ("ls", &["", "oci:target/plugin-build/greeter", "ghcr.io/me/greeter"]),
    ("inspect", &["", "ghcr.io/me/greeter:1.0"]),
    ("diff", &["oci:before oci:after"]),
    ("verify", &["", "ghcr.io/me/greeter:1.0", "oci:image --rebuild --hermetic"]),
    ("sbom", &["", "ghcr.io/me/greeter:1.0 --format json"]),
    ("provenance", &["", "ghcr.io/me/greeter:1.0 --format json"]),
    ("keygen", &[""]),
    ("sign", &["ghcr.io/me/greeter:1.0 --key plugin-build.key"]),
    ("attest", &["oci:image --predicate scan.json --type https://example.com/scan/v1 --key plugin-build.key"]),
    ("unpack", &["ghcr.io/me/greeter:1.0 root"]),
    ("install", &["router/plugins", "ghcr.io/me/hello:1.0 router/plugins", "--list router/plugins", "--rollback router/plugins"]),
    ("contract", &["ghcr.io/me/hello:1.0 plugins/hello", "diff ghcr.io/me/hello:1.0 plugins/hello"]),
    ("router", &["set config.json ghcr.io/me/hello:1.0"]),
    ("copy", &["ghcr.io/me/greeter:1.0 oci-archive:greeter.tar", "oci:one oci:two ghcr.io/me/"]),
    ("push", &["ghcr.io/me/greeter", "-t nightly ghcr.io/me/greeter", "oci:image ghcr.io/me/greeter:1.0"]),
    ("pull", &["ghcr.io/me/greeter:1.0 image"]),
    ("publish", &["oci:image s3://bucket/plugins", "--name plugins/ oci:image /srv/registry"]),
    ("unpublish", &["greeter:1.0 s3://bucket/plugins"]),
    ("attach", &["ghcr.io/me/greeter:1.0 sbom.json --type application/vnd.cyclonedx+json"]),
    ("detach", &["ghcr.io/me/greeter:1.0 --type application/vnd.cyclonedx+json"]),
    ("login", &["ghcr.io -u me --password-stdin"]),
    ("logout", &["ghcr.io"]),
    ("rm", &["oci:target/plugin-build/greeter:1.0"]),
    ("gc", &["oci:image", "--cache"]),
    ("completions", &["bash"]),
    ("man", &["", "verify", "--output share/man/man1"]),
    ("schema", &["results", "manifest"]),
];

/// Verbs that never reach a registry.
const LOCAL: [&str; 9] = ["new", "init", "uninstall", "generate", "keygen", "gc", "completions", "man", "schema"];
/// Verbs that take one package.
const OF_ONE: [&str; 4] = ["run", "dev", "install", "push"];

/// The whole command line.
pub fn command() -> Command {
    let mut command = Cli::command();
    for (verb, examples) in EXAMPLES.into_iter().filter(|(verb, _)| command.find_subcommand(verb).is_some()).collect::<Vec<_>>() {
        command = command.mut_subcommand(verb, |shown| shown.after_help(rendered(verb, examples)));
    }
    let of_registries = |arg: &&Arg| arg.get_help_heading() == Some("Registries");
    let unseen: Vec<Arg> = command.get_arguments().filter(of_registries).map(|arg| arg.clone().hide(true)).collect();
    for verb in LOCAL {
        command = command.mut_subcommand(verb, |shown| shown.args(unseen.clone()));
    }
    for verb in OF_ONE {
        command = command.mut_subcommand(verb, |shown| {
            let help = match verb {
                "push" => "Package to build; several are pushed by `build --push HOST/PREFIX/`",
                _ => "Package to build",
            };
            let shown = shown.mut_arg("package", |arg| arg.help(help));
            shown.mut_arg("workspace", |arg| arg.hide(true)).mut_arg("exclude", |arg| arg.hide(true))
        });
    }
    command
}

fn rendered(verb: &str, examples: &[&str]) -> StyledStr {
    let header = Styles::styled();
    let header = header.get_header();
    let lines: Vec<String> =
        examples.iter().map(|words| format!("  cargo plugin-build {verb} {words}").trim_end().to_owned()).collect();
    format!("{header}Examples:{header:#}\n{}", lines.join("\n")).into()
}

/// Gives what clap does not know the right tip: a verb like the word, what other tools' flags are called here.
pub fn advise(error: &mut clap::Error) {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else { return };
    if error.kind() != ErrorKind::UnknownArgument {
        return;
    }
    let word = word.clone();
    let tip = |error: &mut clap::Error, text: String| {
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![text.into()]));
    };
    // That it may stand behind `--` is true, and means another program's.
    error.remove(ContextKind::Suggested);
    if let Some(toolchain) = word.strip_prefix('+') {
        tip(error, format!("a toolchain stands before the verb: 'cargo +{toolchain} plugin-build'"));
    } else if let Some(text) = foreign::tip(&word) {
        tip(error, text.to_owned());
    } else if !word.starts_with('-') {
        let command = Cli::command();
        let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set()).map(Command::get_name);
        if let Some(verb) = nearest(&word, verbs, 0.8) {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![verb.to_owned()]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_an_example_and_every_example_is_understood() {
        let all = command();
        for verb in all.get_subcommands().filter(|verb| !verb.is_hide_set()).map(Command::get_name) {
            let (_, examples) = EXAMPLES.iter().find(|(name, _)| *name == verb).unwrap_or_else(|| panic!("{verb} has none"));
            for words in *examples {
                let line = ["cargo plugin-build", verb].into_iter().map(str::to_owned);
                let words = words.split_whitespace().map(|word| word.trim_matches('\'').to_owned());
                all.clone().try_get_matches_from(line.chain(words)).unwrap_or_else(|error| panic!("{verb}: {error}"));
            }
        }
        all.debug_assert();
    }
}
