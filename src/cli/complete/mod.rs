//! Completions: what may stand where the cursor is.
//!
//! The scripts of `scripts/` ask the program itself, with the words before the cursor, and print what it answers. So verbs, flags and
//! values are those of the program that is there, for `cargo plugin-build` as for `cargo-plugin-build`, and what lies on the disk
//! completes too: templates, layouts and the tags in them. clap's own scripts for bash take a verb for nothing where the
//! program's name has a hyphen; elvish and PowerShell, which do not suffer from that, get clap's.
//!
//! Nothing here fails: where nothing is known, nothing is offered.

mod values;

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, Args, Command};

use super::context::Context;

/// Words of an unfinished command line.
#[derive(Debug, Args)]
pub struct CompleteArgs {
    /// The words after the program's name; the last is being written
    #[arg(last = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Something that may stand where the cursor is, and what it means.
pub(super) type Candidate = (String, String);

/// The script of a shell that asks here; `None` for one that has none.
pub fn script(shell: clap_complete::Shell) -> Option<&'static str> {
    match shell {
        clap_complete::Shell::Bash => Some(include_str!("scripts/bash")),
        clap_complete::Shell::Zsh => Some(include_str!("scripts/zsh")),
        clap_complete::Shell::Fish => Some(include_str!("scripts/fish")),
        _ => None,
    }
}

/// Prints what may stand at the last word, one a line: the word, a tab, what it means.
pub fn complete(args: &CompleteArgs, all: &Command, context: &Context) -> ExitCode {
    let mut text = String::new();
    for (word, meaning) in candidates(all, &args.words, &context.env.cwd) {
        // What would end the line, or command the terminal, cannot be typed either.
        if !word.chars().chain(meaning.chars()).any(char::is_control) {
            let _ = writeln!(text, "{word}\t{meaning}");
        }
    }
    context.print_bytes(text.as_bytes());
    ExitCode::SUCCESS
}

fn candidates(all: &Command, words: &[String], dir: &Path) -> Vec<Candidate> {
    let Some((word, before)) = words.split_last() else { return Vec::new() };
    let mut line = Line { all, verb: all, positions: 0, waiting: None, is_over: false };
    for word in before {
        line.take(word);
    }
    let mut found = line.at_cursor(word, dir);
    found.retain(|(candidate, _)| candidate.starts_with(word.as_str()));
    found
}

/// A command line as far as it is written.
struct Line<'c> {
    all: &'c Command,
    verb: &'c Command,
    /// Words so far that belong to no flag.
    positions: usize,
    /// A flag whose value comes next.
    waiting: Option<&'c Arg>,
    /// `--` was there.
    is_over: bool,
}

impl<'c> Line<'c> {
    fn take(&mut self, word: &str) {
        if self.waiting.take().is_some() || self.is_over {
            return;
        }
        if word == "--" {
            self.is_over = true;
        } else if word.starts_with('-') && word.len() > 1 {
            let has_value = word.starts_with("--") && word.contains('=');
            self.waiting = self.flag(word).filter(|flag| !has_value && flag.get_action().takes_values());
        } else if let Some(verb) = self.verb.find_subcommand(word).filter(|_| self.positions == 0) {
            self.verb = verb;
        } else {
            self.positions += 1;
        }
    }

    /// The flags of the verb at hand, and those that every verb takes.
    fn flags(&self) -> impl Iterator<Item = &'c Arg> {
        let of_all = self.all.get_arguments().filter(|flag| flag.is_global_set());
        let own = self.verb.get_arguments().filter(|flag| !flag.is_global_set());
        own.chain(of_all).filter(|flag| !flag.is_positional() && !flag.is_hide_set())
    }

    /// The flag that a word names: by its long name, or by the last letter of a cluster of short ones.
    fn flag(&self, word: &str) -> Option<&'c Arg> {
        match word.strip_prefix("--") {
            Some(long) => {
                let long = long.split('=').next();
                self.flags().find(|flag| flag.get_long().is_some() && flag.get_long() == long)
            }
            None => self.flags().find(|flag| flag.get_short().is_some() && flag.get_short() == word.chars().last()),
        }
    }

    fn at_cursor(&self, word: &str, dir: &Path) -> Vec<Candidate> {
        if let Some(flag) = self.waiting {
            return values::of(flag, word, dir);
        }
        if self.is_over {
            return Vec::new();
        }
        if let Some((name, value)) = word.split_once('=').filter(|(name, _)| name.starts_with("--")) {
            let values = self.flag(name).map(|flag| values::of(flag, value, dir)).unwrap_or_default();
            return values.into_iter().map(|(value, meaning)| (format!("{name}={value}"), meaning)).collect();
        }
        if word.starts_with('-') {
            return self.flag_names();
        }
        let mut found = Vec::new();
        if self.positions == 0 {
            let verbs = self.verb.get_subcommands().filter(|verb| !verb.is_hide_set());
            found.extend(verbs.map(|verb| (verb.get_name().to_owned(), first_line(verb.get_about()))));
            if std::ptr::eq(self.verb, self.all) {
                found.push(("help".to_owned(), "Print help of a verb".to_owned()));
                return found;
            }
        }
        let positional: Vec<&Arg> = self.verb.get_positionals().filter(|positional| !positional.is_last_set()).collect();
        if let Some(at) = positional.get(self.positions).or(positional.last()) {
            found.extend(values::of(at, word, dir));
        }
        found
    }

    fn flag_names(&self) -> Vec<Candidate> {
        let long = |flag: &Arg| Some((format!("--{}", flag.get_long()?), first_line(flag.get_help())));
        let mut found: Vec<Candidate> = self.flags().filter_map(long).collect();
        found.push(("--help".to_owned(), "Print help".to_owned()));
        found.sort();
        found.dedup_by(|a, b| a.0 == b.0);
        found
    }
}

fn first_line(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(|text| text.to_string().lines().next().unwrap_or_default().to_owned()).unwrap_or_default()
}
