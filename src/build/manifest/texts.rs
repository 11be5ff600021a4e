//! Texts of a table that would end up broken in an image.

use super::config::Config;
use super::error::PluginError;
use super::location::Location;

/// A name becomes a file name and part of a path: letters, digits, `.`, `_`, `-`, no dot or dash in front.
pub(super) fn is_plain(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    !name.is_empty() && name.bytes().all(plain) && !name.starts_with(['.', '-'])
}

pub(super) fn not_plain(name: &str) -> String {
    format!("`{name}` is not a plain file name (letters, digits, `.`, `_`, `-`)")
}

pub(super) fn check_name(name: &str, key: &str, place: &impl Fn(&str) -> Location) -> Result<(), PluginError> {
    if is_plain(name) {
        return Ok(());
    }
    Err(PluginError::Value { place: place(key), key: key.to_owned(), detail: not_plain(name) })
}

/// What would end up broken in an image config.
pub(super) fn check_texts(config: &Config, place: &impl Fn(&str) -> Location) -> Result<(), PluginError> {
    let bad =
        |key: &str, detail: &str| Err(PluginError::Value { place: place(key), key: key.to_owned(), detail: detail.to_owned() });
    if config.workdir.as_ref().is_some_and(|workdir| !workdir.starts_with('/')) {
        return bad("workdir", "want an absolute path");
    }
    if config.targets.as_ref().is_some_and(Vec::is_empty) {
        return bad("targets", "want at least one target");
    }
    if config.entrypoint.as_ref().is_some_and(|words| words.first().is_none_or(String::is_empty)) {
        return bad("entrypoint", "want at least the program");
    }
    let is_user = |text: &String| text.split(':').count() <= 2 && text.split(':').all(|part| !part.is_empty());
    if config.user.as_ref().is_some_and(|user| !is_user(user) || user.contains(char::is_whitespace)) {
        return bad("user", "want `name`, `uid` or `uid:gid`");
    }
    for name in config.env.iter().flatten().map(|(name, _)| name) {
        if name.is_empty() || name.contains(['=', '\0']) {
            return bad(&format!("env.{name}"), "want a variable's name, without `=`");
        }
    }
    let maps = [("labels", &config.labels), ("annotations", &config.annotations)];
    match maps.iter().find(|(_, map)| map.as_ref().is_some_and(|map| map.contains_key(""))) {
        Some((key, _)) => bad(key, "want a key that is not empty"),
        None => Ok(()),
    }
}
