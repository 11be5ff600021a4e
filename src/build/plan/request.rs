//! The record from which the same artifact can be built again: the annotation `dev.cargo-plugin-build.request`.
//!
//! Canonical JSON (sorted keys, no white space) of what was asked of cargo for one target. It belongs to the platform's
//! manifest, so that images joined from several machines keep their digest. No absolute path may get into an image: in a
//! flag that holds one, the workspace becomes `/ws`, anything else `<path>`, and then the record says that it is not
//! enough to rebuild. What `--config` says about the network is left out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::build::manifest::{BuildFlags, Plugin, Workspace};
use crate::build::toolchain::config::flatten;
use plugin_oci::documents::json::to_canonical_text;

/// The record, and whether it says everything.
pub fn request(workspace: &Workspace, plugin: &Plugin, flags: &BuildFlags, target: &str, users: &[String]) -> (String, bool) {
    let root = workspace.root.display().to_string();
    let mut complete = true;
    let mut clean =
        |flags: &[String]| -> Vec<String> { flags.iter().map(|flag| without_paths(flag, &root, &mut complete)).collect() };
    let mut record = Map::new();
    let mut set = |key: &str, value: Value| {
        let empty = match &value {
            Value::Array(items) => items.is_empty(),
            Value::Object(keys) => keys.is_empty(),
            Value::Bool(flag) => !flag,
            _ => false,
        };
        if !empty {
            record.insert(key.to_owned(), value);
        }
    };
    set("package", json!(plugin.package.name));
    set(if plugin.product.is_bin() { "bin" } else { "lib" }, json!(plugin.product.name()));
    set("features", json!(flags.feature_list()));
    set("all-features", json!(plugin.package.all_features(flags)));
    set("no-default-features", json!(plugin.package.no_default_features(flags)));
    set("profile", json!(flags.profile()));
    set("profile-keys", json!(profile_keys(workspace, flags.profile())));
    set("builder", json!(flags.builder));
    set("target", json!(target));
    set("rustflags", json!(clean(users)));
    set("cargo-args", json!(clean(&without_network(&flags.cargo_args))));
    set("not-rebuildable", json!(!complete));
    (to_canonical_text(&Value::Object(record)), complete)
}

/// The profile's keys in effect: the workspace manifest's, with configuration and environment over them.
pub(super) fn profile_keys(workspace: &Workspace, profile: &str) -> BTreeMap<String, Value> {
    let mut keys = BTreeMap::new();
    let text = std::fs::read_to_string(workspace.root.join("Cargo.toml")).unwrap_or_default();
    let manifest: toml::Table = text.parse().unwrap_or_default();
    let profiles = manifest.get("profile").and_then(toml::Value::as_table);
    // A custom profile inherits; cargo refuses cycles, the limit is for the unread rest.
    let mut chain = vec![profile.to_owned()];
    while let Some(parent) = profiles.and_then(|all| all.get(chain.last()?)?.get("inherits")?.as_str()) {
        if chain.len() > 8 {
            break;
        }
        chain.push(parent.to_owned());
    }
    for name in chain.iter().rev() {
        if let Some(table) = profiles.and_then(|all| all.get(name)?.as_table()) {
            flatten("", table, &mut keys);
        }
        keys.extend(workspace.cargo_config.profile(name));
    }
    keys
}

/// Cargo's arguments without `--config` about the network: it makes no difference to bytes, and a proxy's URL may hold a
/// password.
fn without_network(arguments: &[String]) -> Vec<String> {
    let is_network = |value: &str| {
        let table: Option<toml::Table> = value.parse().ok();
        table.is_some_and(|table| table.keys().any(|key| ["http", "net"].contains(&key.as_str())))
    };
    let mut kept: Vec<String> = Vec::new();
    for argument in arguments {
        if kept.last().is_some_and(|before| before == "--config") && is_network(argument) {
            kept.pop();
        } else if !argument.strip_prefix("--config=").is_some_and(is_network) {
            kept.push(argument.clone());
        }
    }
    kept
}

/// A flag without absolute paths.
fn without_paths(flag: &str, root: &str, complete: &mut bool) -> String {
    let mut text = String::new();
    let mut rest = flag;
    while let Some(at) = absolute_path(rest) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let end =
            rest.match_indices([',', ':', '"', '\'', ' ', ';']).map(|(end, _)| end).find(|&end| end > 1).unwrap_or(rest.len());
        let path = &rest[..end];
        match path.strip_prefix(root).filter(|below| below.is_empty() || below.starts_with('/')) {
            Some(below) => text.extend(["/ws", below]),
            None => text.push_str("<path>"),
        }
        *complete = false;
        rest = &rest[end..];
    }
    text + rest
}

/// Where an absolute path starts: a `/` at the start, after something that is no part of a path, or after an option of
/// one letter (`-L/usr/lib`); or a drive.
fn absolute_path(text: &str) -> Option<usize> {
    let ends = |before: &str| before.is_empty() || before.ends_with(['=', ',', ':', '"', '\'', ' ', ';', '@']);
    let bytes = text.as_bytes();
    (0..bytes.len()).filter(|&at| text.is_char_boundary(at)).find(|&at| {
        let before = &text[..at];
        let after_option = || {
            let letter = before.strip_suffix(|c: char| c.is_ascii_alphabetic());
            letter.and_then(|rest| rest.strip_suffix('-')).is_some_and(ends)
        };
        let is_drive = || bytes[at].is_ascii_alphabetic() && matches!(bytes.get(at + 1..at + 3), Some(b":\\" | b":/"));
        bytes[at] == b'/' && (ends(before) || after_option()) || ends(before) && is_drive()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_absolute_path_of_a_flag_gets_into_the_record() {
        let clean = |flag: &str| {
            let mut complete = true;
            (without_paths(flag, "/home/me/ws", &mut complete), complete)
        };
        assert_eq!(clean("-Ctarget-cpu=native"), ("-Ctarget-cpu=native".into(), true));
        assert_eq!(clean("-Clink-arg=-T/home/me/ws/a.ld"), ("-Clink-arg=-T/ws/a.ld".into(), false));
        assert_eq!(clean("-L/usr/lib"), ("-L<path>".into(), false));
        assert_eq!(clean(r"-Clinker=C:\ld"), (r"-Clinker=<path>".into(), false));
        assert_eq!(clean("-Clinker=/usr/bin/ld"), ("-Clinker=<path>".into(), false));
        assert_eq!(clean("-Clink-arg=/home/me/ws/a.ld"), ("-Clink-arg=/ws/a.ld".into(), false));
        assert_eq!(clean("-Clink-arg=@/home/me/link.rsp"), ("-Clink-arg=@<path>".into(), false));
        assert_eq!(clean("/a:/b"), ("<path>:<path>".into(), false));
        assert_eq!(clean("--cfg=feature=\"a/b\""), ("--cfg=feature=\"a/b\"".into(), true));
    }
}
