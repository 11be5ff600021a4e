//! Reads a table out of a `Cargo.toml` and remembers where each key stands, so that every complaint names file and line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::config::Config;
use super::error::PluginError;
use super::location::Location;
use crate::build::nearest::nearest;

/// The table's name, below the `metadata` of a package or workspace.
const TABLE: &str = "plugin-build";

/// What other tools call a key, and words that are like one and mean none.
const ELSEWHERE: [(&str, Option<&str>); 15] = [
    ("assets", Some("files")),
    ("cmd", Some("args")),
    ("command", Some("args")),
    ("copy", Some("files")),
    ("expose", Some("ports")),
    ("from", Some("base")),
    ("image", Some("base")),
    ("include", Some("files")),
    ("license", None),
    ("licenses", None),
    ("platform", Some("targets")),
    ("platforms", Some("targets")),
    ("tag", None),
    ("tags", None),
    ("working-directory", Some("workdir")),
];

/// A table with the places of its keys.
#[derive(Clone, Debug, Default)]
pub struct Located {
    /// The table.
    pub config: Config,
    path: PathBuf,
    lines: BTreeMap<String, usize>,
}

impl Located {
    /// Where a key stands, `files[0].from` for nested ones; `None` when this table does not hold it.
    pub fn place(&self, key: &str) -> Option<Location> {
        Some(Location { path: self.path.clone(), line: *self.lines.get(key)? })
    }
}

/// A key's name and the text that its value covers.
struct Key {
    name: String,
    value: Range<usize>,
}

/// Reads `[<section>.metadata.plugin-build]`; the default when the file has none.
pub fn read(path: &Path, section: &str) -> Result<Located, PluginError> {
    let text = Text::read(path)?;
    let document = text.parse()?;
    if let Some((table, offset)) = misplaced(document.get_ref(), section) {
        let meant = format!("{section}.metadata.{TABLE}");
        return Err(PluginError::UnknownTable { place: text.place(offset), table, meant });
    }
    match find(document.get_ref(), &[section, "metadata", TABLE]) {
        Some(table) => located(&text, table),
        None => Ok(Located { path: path.to_owned(), ..Located::default() }),
    }
}

/// Reads a file that holds nothing but the keys of the table.
pub fn read_file(path: &Path) -> Result<Located, PluginError> {
    let text = Text::read(path)?;
    let document = text.parse()?;
    let span = document.span();
    located(&text, &Spanned::new(span, DeValue::Table(document.into_inner())))
}

/// A manifest, and where things stand in it.
struct Text<'p> {
    path: &'p Path,
    text: String,
}

impl<'p> Text<'p> {
    fn read(path: &'p Path) -> Result<Self, PluginError> {
        let text = std::fs::read_to_string(path).map_err(|source| PluginError::Read { path: path.to_owned(), source })?;
        Ok(Self { path, text })
    }

    fn line(&self, offset: usize) -> usize {
        self.text[..offset.min(self.text.len())].matches('\n').count() + 1
    }

    fn place(&self, offset: usize) -> Location {
        Location { path: self.path.to_owned(), line: self.line(offset) }
    }

    fn parse(&self) -> Result<Spanned<DeTable<'_>>, PluginError> {
        DeTable::parse(&self.text).map_err(|error| PluginError::Syntax {
            place: self.place(error.span().map_or(0, |span| span.start)),
            detail: error.message().to_owned(),
        })
    }
}

/// Reads the table itself.
fn located(text: &Text<'_>, table: &Spanned<DeValue<'_>>) -> Result<Located, PluginError> {
    let mut lines = BTreeMap::from([(String::new(), text.line(table.span().start))]);
    let mut keys = Vec::new();
    let mut check = |key: &str, offset: usize, table: &str| {
        lines.insert(key.to_owned(), text.line(offset));
        unknown(key, table).map_or(Ok(()), |(known, nearest)| {
            Err(PluginError::UnknownKey { place: text.place(offset), key: key.to_owned(), known, nearest })
        })
    };
    walk(table, "", "", &mut check, &mut keys)?;
    let config = Config::deserialize(ValueDeserializer::from(table.clone())).map_err(|error| {
        let span = error.span().unwrap_or_else(|| table.span());
        let holds = |key: &&Key| key.value.start <= span.start && span.end <= key.value.end;
        let key = keys.iter().filter(holds).min_by_key(|key| key.value.len());
        let name = key.map_or("plugin-build", |key| key.name.as_str());
        let written = key.map_or("", |key| text.text.get(key.value.clone()).unwrap_or_default());
        let detail = wanted(name, written, error.message()).unwrap_or_else(|| error.message().to_owned());
        PluginError::Value { place: text.place(span.start), key: name.to_owned(), detail }
    })?;
    Ok(Located { config, path: text.path.to_owned(), lines })
}

/// What should stand there instead of a value of another type: as it would be written, with what was written where it can be.
fn wanted(key: &str, written: &str, message: &str) -> Option<String> {
    if let Some((_, known)) = message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected ")) {
        let words: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        let nearest = nearest(written.trim_matches(['"', '\'']), words.iter().copied(), 0.7);
        let meant = nearest.map_or_else(String::new, |word| format!("; did you mean `\"{word}\"`?"));
        return Some(format!("want one of {}{meant}", words.join(", ")));
    }
    if message.ends_with(", expected a nonzero usize") {
        return Some("want a number, 1 or more, without quotes".to_owned());
    }
    let (_, expected) = message.strip_prefix("invalid type: ")?.split_once(", expected ")?;
    let plain = written.trim_matches(['"', '\'']);
    let is_short =
        plain.len() <= 60 && !plain.is_empty() && plain.chars().all(|c| c.is_ascii_graphic() && !"[]{}\"\\".contains(c));
    let text = if is_short { plain } else { "..." };
    Some(match expected {
        "a sequence" if key == "passwd" => format!("want a list of tables: `{key} = [{{ name = \"app\", uid = 1000 }}]`"),
        "a sequence" if key == "files" => format!("want a list of tables: `{key} = [{{ from = \"{text}\" }}]`"),
        "a sequence" => format!("want a list: `{key} = [\"{text}\"]`"),
        "a map" => format!("want a table: `{key} = {{ NAME = \"value\" }}`"),
        "a string" => format!("want a text: `\"{text}\"`"),
        _ if expected.starts_with("a table such as ") => format!("want {expected}"),
        "a boolean" => "want `true` or `false`, without quotes".to_owned(),
        _ => return None,
    })
}

/// Whether a table's name is this program's, written otherwise: with other signs or letters of another size, with `cargo-`
/// before it, with its words the other way round, or with one slip.
pub fn is_misspelt(name: &str) -> bool {
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let (name, ours) = (plain(name), plain(TABLE));
    let words = |text: &str| text.strip_prefix("plugin").map(|rest| format!("{rest}plugin"));
    let name = name.strip_prefix("cargo").unwrap_or(&name);
    strsim::osa_distance(name, &ours) <= 1 || words(&ours).is_some_and(|other| strsim::osa_distance(name, &other) <= 1)
}

/// Tables whose keys are names of the user's, or another program's whole business.
const FREE: [&[&str]; 15] = [
    &["badges"],
    &["build-dependencies"],
    &["dependencies"],
    &["dev-dependencies"],
    &["features"],
    &["lints"],
    &["package", "metadata", "*"],
    &["patch"],
    &["profile"],
    &["replace"],
    &["target"],
    &["workspace", "dependencies"],
    &["workspace", "lints"],
    &["workspace", "metadata", "*"],
    &["metadata", "*"],
];

/// Tables in one another that are looked into.
const DEPTH: usize = 4;

/// A table that was meant to be ours, by name or by place: its name as written, and where it stands. Nothing would read it.
fn misplaced(document: &DeTable<'_>, section: &str) -> Option<(String, usize)> {
    // What stands in neither section is told once, as the package's where there is one.
    let is_told = |first: &str| match first {
        "package" | "workspace" => first == section,
        _ => section == "package" || !document.contains_key("package"),
    };
    let asked = document.iter().filter(|(key, _)| is_told(key.get_ref()));
    asked.into_iter().find_map(|entry| misplaced_at(entry, &mut Vec::new(), section))
}

fn misplaced_at<'t>(
    (key, value): (&'t Spanned<Cow<'_, str>>, &'t Spanned<DeValue<'_>>),
    path: &mut Vec<&'t str>,
    section: &str,
) -> Option<(String, usize)> {
    let inner = value.get_ref().as_table()?;
    path.push(key.get_ref());
    let found = if path[..] == [section, "metadata", TABLE] {
        None
    } else if is_misspelt(key.get_ref()) {
        Some((path.join("."), key.span().start))
    } else if let Some((second, _)) = inner.iter().find(|(second, value)| {
        // A dot between the words makes two tables of them.
        value.get_ref().is_table() && is_misspelt(&format!("{}-{}", key.get_ref(), second.get_ref()))
    }) {
        Some((format!("{}.{}", path.join("."), second.get_ref()), second.span().start))
    } else if path.len() < DEPTH && !FREE.iter().any(|free| is_at(path, free)) {
        inner.iter().find_map(|entry| misplaced_at(entry, path, section))
    } else {
        None
    };
    path.pop();
    found
}

fn is_at(path: &[&str], place: &[&str]) -> bool {
    path.len() == place.len() && path.iter().zip(place).all(|(name, wanted)| *wanted == "*" || name == wanted)
}

fn find<'t, 'i>(table: &'t DeTable<'i>, path: &[&str]) -> Option<&'t Spanned<DeValue<'i>>> {
    let (first, rest) = path.split_first()?;
    let value = table.get(*first)?;
    if rest.is_empty() { Some(value) } else { find(value.get_ref().as_table()?, rest) }
}

/// Visits every key with its dotted name, offset, and the name of the kind of table it stands in.
fn walk(
    value: &Spanned<DeValue<'_>>,
    prefix: &str,
    table: &str,
    check: &mut impl FnMut(&str, usize, &str) -> Result<(), PluginError>,
    keys: &mut Vec<Key>,
) -> Result<(), PluginError> {
    if let Some(entries) = value.get_ref().as_table() {
        for (key, value) in entries {
            let name = if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
            check(&name, key.span().start, table)?;
            keys.push(Key { name: name.clone(), value: value.span() });
            let inner = if table.is_empty() { key.get_ref().to_string() } else { format!("{table}.{}", key.get_ref()) };
            walk(value, &name, &inner, check, keys)?;
        }
    } else if let Some(items) = value.get_ref().as_array() {
        for (index, item) in items.iter().enumerate() {
            let name = format!("{prefix}[{index}]");
            keys.push(Key { name: name.clone(), value: item.span() });
            walk(item, &name, table, check, keys)?;
        }
    }
    Ok(())
}

/// The valid keys and the nearest one, when the key is none of them.
fn unknown(key: &str, table: &str) -> Option<(Vec<String>, Option<String>)> {
    let known = Config::keys_of(table)?;
    let own = key.rsplit('.').next().unwrap_or(key);
    if known.iter().any(|name| name == own) {
        return None;
    }
    let own = own.replace('_', "-").to_ascii_lowercase();
    let nearest = match ELSEWHERE.iter().find(|(word, _)| table.is_empty() && *word == own) {
        Some((_, meant)) => *meant,
        None => nearest(&own, known.iter().map(String::as_str), 0.7),
    };
    let nearest = nearest.map(str::to_owned);
    Some((known, nearest))
}
