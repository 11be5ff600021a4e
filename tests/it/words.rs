//! Below the command line nothing knows its flags: what is said in its words is said in `src/cli`.
//!
//! A text with a blank in it is for people; one without, such as `--message-format=json`, is an argument. Arguments stand
//! only where commands are made or read.

use std::collections::BTreeSet;
use std::path::Path;

use plugin_oci::documents::image::CREATED_BY;
use syn::buffer::{Cursor, TokenBuffer};
use syn::visit::{self, Visit};

/// Files that make or read the arguments of other programs: cargo's and rustc's, git's, a dynamic loader's.
const COMMANDS: [&str; 19] = [
    "src/build/compile/mod.rs",
    "src/build/manifest/asking.rs",
    "src/build/manifest/flags.rs",
    "src/build/plan/identity.rs",
    "src/build/plan/invocation.rs",
    "src/build/plan/remap.rs",
    "src/build/plan/request.rs",
    "src/build/sbom/record.rs",
    "src/build/toolchain/config.rs",
    "src/build/toolchain/find.rs",
    "src/build/toolchain/linker.rs",
    "src/build/toolchain/metadata.rs",
    "src/build/toolchain/rustc.rs",
    "src/build/repository/revision.rs",
    "src/images/rebuild/checkout.rs",
    "src/images/rebuild/grammar.rs",
    "src/images/run/loader.rs",
    "src/build/manifest/loader.rs", // the place of what is wrong
    "src/images/copy/mod.rs",       // the two of [`CopyError::Conflict`], which only flags can want
];

/// Texts that name a flag all the same, by a part of each, and why.
const SAID: [(&str, &str); 15] = [
    ("`--all` takes every tag", "a contradiction that only flags can make"),
    ("a delta (`--have`) goes into", "a contradiction that only flags can make"),
    ("which `--locked` forbids", "cargo's flag"),
    ("`--offline` forbids to fetch", "cargo's flag"),
    ("`--hermetic` works on Linux only", "names what was asked for"),
    ("`--builder zigbuild` wants cargo-zigbuild", "names what was asked for"),
    ("see `--cache-dir`", "says where a directory came from"),
    (CREATED_BY, "is a byte of format 1, the `created_by` of a layer"),
    ("--cap-add SETFCAP", "a flag of container engines"),
    ("--security-opt systempaths", "a flag of container engines"),
    ("--security-opt apparmor", "a flag of container engines"),
    ("--security-opt seccomp", "a flag of container engines"),
    ("unshare --user", "a command of the system"),
    ("--print ", "rustc's"),
    ("`cargo add --dev", "cargo's"),
];

#[test]
fn nothing_below_the_command_line_names_its_flags() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for house in ["src", "crates/oci/src"] {
        for entry in walkdir::WalkDir::new(root.join(house)).sort_by_file_name() {
            let path = entry.unwrap().into_path();
            let file = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if file.starts_with("src/cli/") || path.extension().is_none_or(|end| end != "rs") {
                continue;
            }
            let mut texts = Texts(Vec::new());
            texts.visit_file(&syn::parse_file(&std::fs::read_to_string(&path).unwrap()).unwrap());
            for text in texts.0.into_iter().filter(|text| names_a_flag(text)) {
                let said = |part: &&(&str, &str)| if part.0 == CREATED_BY { text == CREATED_BY } else { text.contains(part.0) };
                let known = SAID.iter().find(said).map(|(part, _)| *part);
                let command = COMMANDS.iter().find(|command| **command == file && !text.contains(' ')).copied();
                match known.or(command) {
                    Some(known) => drop(used.insert(known)),
                    None => wrong.push(format!("{file}: {text}")),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "say it in src/cli/hints, or in words of no flag:\n{}", wrong.join("\n"));
    for known in SAID.iter().map(|(part, _)| *part).chain(COMMANDS) {
        assert!(used.contains(known), "`{known}` is allowed, and nothing says it");
    }
}

fn names_a_flag(text: &str) -> bool {
    let flag = text.match_indices("--").any(|(at, _)| {
        let before = text[..at].chars().next_back();
        text[at + 2..].starts_with(|c: char| c.is_ascii_lowercase()) && before.is_none_or(|c| !c.is_alphanumeric() && c != '-')
    });
    flag || text.contains("cargo plugin-build") && !text.contains("cargo plugin-build.")
}

/// The texts of a file, those in macros and in the attributes of errors too; not those of documentation and tests.
struct Texts(Vec<String>);

impl Texts {
    fn take(&mut self, mut at: Cursor<'_>) {
        while !at.eof() {
            at = if let Some((literal, rest)) = at.literal() {
                if let syn::Lit::Str(text) = syn::Lit::new(literal) {
                    self.0.push(text.value());
                }
                rest
            } else if let Some((inside, _, _, rest)) = at.any_group() {
                self.take(inside);
                rest
            } else {
                at.token_tree().unwrap().1
            };
        }
    }
}

impl<'ast> Visit<'ast> for Texts {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.ident != "tests" {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta
            && list.path.is_ident("error")
        {
            self.take(TokenBuffer::new2(list.tokens.clone()).begin());
        }
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.0.push(text.value());
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.take(TokenBuffer::new2(item.tokens.clone()).begin());
    }
}
