//! Names of new packages, checked as `cargo new` checks them, and what Rust calls the same thing elsewhere.

use std::fmt;
use std::str::FromStr;

use heck::ToUpperCamelCase as _;

use super::TemplateError;

/// Strict and reserved words of the 2024 edition (The Rust Reference, "Keywords").
const KEYWORDS: [&str; 52] = [
    "Self", "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move",
    "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true", "try", "type",
    "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Folders that cargo makes beside the program in the target directory.
const ARTIFACT_DIRS: [&str; 4] = ["deps", "examples", "build", "incremental"];

/// Crates that every program links.
const STANDARD_CRATES: [&str; 6] = ["alloc", "core", "proc-macro", "proc_macro", "std", "test"];

/// File names that Windows keeps for devices.
const WINDOWS_DEVICES: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "lpt1", "lpt2", "lpt3",
    "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// The name of a new package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// The package's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The crate's name.
    pub fn snake(&self) -> String {
        self.0.replace('-', "_")
    }

    /// The name in front of a type. It is spelled so that code generators for protobuf, which respell the names of
    /// services, leave `<pascal>Service` as it is.
    pub fn pascal(&self) -> String {
        let capitalised = |word: &str| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
        };
        let joined: String = self.0.split(['-', '_']).map(capitalised).collect();
        let service = format!("{joined}Service").to_upper_camel_case();
        service.strip_suffix("Service").unwrap_or(&service).to_owned()
    }

    /// The name in front of `_service_server`, the module that tonic makes for the service: a `_` before each capital but
    /// the first.
    pub fn rpc(&self) -> String {
        let mut module = String::new();
        for letter in self.pascal().chars() {
            if letter.is_ascii_uppercase() && !module.is_empty() {
                module.push('_');
            }
            module.push(letter.to_ascii_lowercase());
        }
        module
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        match broken_rule(text) {
            Some(reason) => Err(TemplateError::Name { name: text.chars().take(80).collect(), reason }),
            None => Ok(Self(text.to_owned())),
        }
    }
}

fn broken_rule(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    let first = name.chars().next();
    if let Some(letter) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_".contains(*c)) {
        return Some(format!("`{letter}` is neither an ASCII letter, a digit, `-` nor `_`"));
    }
    match first {
        None => return Some("it is empty".to_owned()),
        Some(digit) if digit.is_ascii_digit() => return Some("it starts with a digit".to_owned()),
        Some('-') => return Some("it starts with `-`".to_owned()),
        Some(_) => {}
    }
    if !name.split(['-', '_']).any(|word| word.starts_with(|c: char| c.is_ascii_alphabetic())) {
        return Some("it has no word that starts with a letter".to_owned());
    }
    if name.split(['-', '_']).find(|word| !word.is_empty()).is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit())) {
        return Some("its first word starts with a digit".to_owned());
    }
    if name.len() > 64 {
        return Some("it is longer than 64 characters".to_owned());
    }
    let among = |list: &[&str], what: &str| list.contains(&name).then(|| what.to_owned());
    among(&KEYWORDS, "it is a Rust keyword")
        .or_else(|| among(&STANDARD_CRATES, "it is a crate of Rust's own"))
        .or_else(|| among(&ARTIFACT_DIRS, "cargo has a folder of that name in the target directory"))
        .or_else(|| WINDOWS_DEVICES.contains(&lower.as_str()).then(|| "Windows keeps that name for a device".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_cargo_takes() {
        for good in ["greeter", "my-plugin", "a", "x_1", "MyPlugin", "_private", "a-b", "foo-2bar"] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "-",
            "_",
            "1st",
            "-x",
            "my plugin",
            "my.plugin",
            "../x",
            "a/b",
            "é",
            "fn",
            "gen",
            "self",
            "std",
            "test",
            "build",
            "NUL",
            "com1",
            "_1",
            "{{name}}",
            "a\0b",
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
        assert!("x".repeat(65).parse::<Name>().is_err());
    }

    #[test]
    fn a_name_is_spelled_as_code_generators_spell_it() {
        for (name, snake, pascal, rpc) in [
            ("greeter", "greeter", "Greeter", "greeter"),
            ("my-plugin", "my_plugin", "MyPlugin", "my_plugin"),
            ("a-b", "a_b", "Ab", "ab"),
            ("foo-2bar", "foo_2bar", "Foo2bar", "foo2bar"),
            ("foo-a-b", "foo_a_b", "FooAb", "foo_ab"),
            ("MyPlugin", "MyPlugin", "MyPlugin", "my_plugin"),
            ("HTTP-cache", "HTTP_cache", "HttpCache", "http_cache"),
            ("_x--y_", "_x__y_", "Xy", "xy"),
        ] {
            let name: Name = name.parse().unwrap();
            assert_eq!((name.snake().as_str(), name.pascal().as_str(), name.rpc().as_str()), (snake, pascal, rpc));
            let service = format!("{}Service", name.pascal());
            assert_eq!(service.to_upper_camel_case(), service);
        }
    }
}
