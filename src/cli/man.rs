//! Manual pages: one of the program and one of each verb, from the command line's definition and from what is common to all.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command};
use clap_mangen::Man;

use super::context::Context;
use super::docs::visible;
use super::hints::Advise as _;
use crate::build::manifest::config::Config;
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::fs;

/// Flags of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The verb whose page is wanted [default: the program's, and after it those of all verbs]
    #[arg(value_name = "VERB", conflicts_with = "output")]
    verb: Option<String>,
    /// Write a file for each page into this directory
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// A verb, and words that it can be called with.
pub type Examples = (&'static str, &'static [&'static str]);

/// What an exit code means.
const EXIT_STATUS: [(&str, &str); 5] = [
    ("0", "Done."),
    ("1", "The work failed, or what was asked for is absent or unreachable."),
    ("2", "Bad flags, reference or metadata."),
    ("3", "A verb that looks for problems found some."),
    ("130, 143", "Interrupted, terminated."),
];

const ENVIRONMENT: [(&str, &str); 7] = [
    ("SOURCE_DATE_EPOCH", "Seconds since 1970 that images give as their time; 0 unless set."),
    ("CARGO, RUSTC, RUSTFLAGS, CARGO_*", "As cargo reads them."),
    ("REGISTRY_AUTH_FILE, DOCKER_CONFIG", "Where credentials of registries are."),
    ("HTTPS_PROXY, ALL_PROXY, NO_PROXY", "Proxies for registries, in either case; http_proxy in lower case."),
    ("SSL_CERT_FILE, SSL_CERT_DIR", "Trusted authorities in place of the system's."),
    ("TMPDIR", "Where large files are compared and plugins are started."),
    ("NO_COLOR, CLICOLOR_FORCE", "Whether the terminal gets colours, where --color does not say."),
];

const FILES: [(&str, &str); 4] = [
    ("Cargo.toml", "Its table [package.metadata.plugin-build], over [workspace.metadata.plugin-build]: see CONFIGURATION."),
    ("target/plugin-build/PACKAGE", "The OCI image layout that build writes."),
    ("DIR/.plugin-build.lock", "The lock that writers of a layout hold; empty."),
    ("~/.docker/config.json, $XDG_RUNTIME_DIR/containers/auth.json", "Credentials, which docker and podman share."),
];

/// Prints pages, or writes them as files.
pub fn manual(args: &ManArgs, all: &Command, examples: &[Examples], context: &Context) -> Result<ExitCode, Error> {
    let mut command = visible(all).disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    collect(&command, "", examples, &mut pages);
    if let Some(dir) = &args.output {
        let dir = context.path(dir);
        fs::create_dirs(&dir)?;
        for (name, text) in &pages {
            let path = dir.join(format!("{name}.1"));
            fs::write_atomically(&path, text)?;
            context.result("manual-page", &serde_json::json!({ "path": path }), || path.display().to_string());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = args.verb.as_ref().map(|verb| format!("{}-{verb}", super::docs::NAME));
    let shown: Vec<_> = pages.iter().filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| name == wanted)).collect();
    if shown.is_empty() {
        let message = format!("there is no verb `{}`", args.verb.as_deref().unwrap_or_default());
        return Err(Complaint::usage(message).with_hint("`cargo plugin-build --help` lists them").into());
    }
    for (_, text) in shown {
        context.print_bytes(text);
    }
    Ok(ExitCode::SUCCESS)
}

/// The page of a command, and after it those of its verbs. `verb` is its words after the program's name.
fn collect(command: &Command, verb: &str, examples: &[Examples], pages: &mut Vec<(String, Vec<u8>)>) {
    let is_root = verb.is_empty();
    let name = command.get_display_name().unwrap_or(super::docs::NAME).replace(' ', "-");
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    // A Vec takes everything.
    let _ = man.render_title(&mut text);
    let _ = man.render_name_section(&mut text);
    let _ = man.render_synopsis_section(&mut text);
    let _ = man.render_description_section(&mut text);
    let _ = man.render_options_section(&mut text);
    if command.has_subcommands() {
        let _ = man.render_subcommands_section(&mut text);
    }
    let mut more = String::new();
    let (of, shown) = if is_root { ("build", "") } else { (verb, verb) };
    for (number, words) in examples.iter().filter(|(verb, _)| *verb == of).flat_map(|(_, all)| *all).enumerate() {
        if number == 0 {
            more.push_str(".SH \"EXAMPLES\"\n");
        }
        let line = ["cargo plugin-build", shown, words].join(" ");
        let _ = writeln!(more, ".PP\n\\fB{}\\fR", escaped(&line.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    section(&mut more, "EXIT STATUS", EXIT_STATUS.iter().map(|(code, what)| ((*code).to_owned(), *what)));
    if is_root || verb == "build" {
        section(&mut more, "ENVIRONMENT", ENVIRONMENT.iter().map(|(name, what)| ((*name).to_owned(), *what)));
        section(&mut more, "FILES", FILES.iter().map(|(name, what)| ((*name).to_owned(), *what)));
        let schema = Config::schema().to_value();
        let keys = schema["properties"].as_object().into_iter().flatten();
        let keys: Vec<(String, String)> = keys
            .map(|(key, about)| (key.clone(), about["description"].as_str().unwrap_or_default().replace('\n', " ")))
            .collect();
        section(&mut more, "CONFIGURATION", keys.iter().map(|(key, what)| (key.clone(), what.as_str())));
    }
    text.extend_from_slice(more.as_bytes());
    if is_root {
        let _ = man.render_version_section(&mut text);
    }
    pages.push((name, text));
    for below in command.get_subcommands() {
        collect(below, format!("{verb} {}", below.get_name()).trim(), examples, pages);
    }
}

/// A list of terms and what they mean; nothing where there are none.
fn section<'w>(text: &mut String, title: &str, rows: impl Iterator<Item = (String, &'w str)>) {
    for (number, (term, what)) in rows.enumerate() {
        if number == 0 {
            let _ = writeln!(text, ".SH \"{title}\"");
        }
        let _ = writeln!(text, ".TP\n\\fB{}\\fR\n{}", escaped(&term), escaped(what));
    }
}

/// A text that troff takes for a text.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
