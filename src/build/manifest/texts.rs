//! Texts of a table that would end up broken in an image.

use super::config::{Config, User};
use super::error::PluginError;
use super::location::Location;

/// The signals of POSIX and Linux that a program can be asked by.
const SIGNALS: [&str; 31] = [
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGKILL",
    "SIGPIPE",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

/// The largest number of a user or group that runtimes take (runc, containerd and Kubernetes; Linux itself takes more).
const MAX_ID: u32 = i32::MAX as u32;
const TOO_LARGE: &str = "want numbers up to 2147483647: runtimes take no larger one";

fn is_absolute(path: &str) -> bool {
    path.starts_with('/') && !path.split('/').any(|part| part == "..") && !path.contains(|c: char| c.is_control())
}

/// What `/etc/passwd` can hold: no colons, one line a user, each name once.
fn check_users(users: &[User], bad: &impl Fn(&str, &str) -> Result<(), PluginError>) -> Result<(), PluginError> {
    for (position, user) in users.iter().enumerate() {
        let of = |field: &str| format!("passwd[{position}].{field}");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let starts = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
        let is_name = user.name.len() <= 32 && user.name.bytes().all(plain) && user.name.bytes().next().is_some_and(starts);
        if !is_name {
            return bad(&of("name"), "want a letter or `_`, then letters, digits, `_`, `.` and `-`, at most 32");
        }
        if users[..position].iter().any(|other| other.name == user.name) {
            return bad(&of("name"), "want each name once");
        }
        for (field, number) in [("uid", Some(user.uid)), ("gid", user.gid)] {
            if number.is_some_and(|number| number > MAX_ID) {
                return bad(&of(field), TOO_LARGE);
            }
        }
        for (field, path) in [("home", &user.home), ("shell", &user.shell)] {
            if path.as_ref().is_some_and(|path| !is_absolute(path) || path.contains(':')) {
                return bad(&of(field), "want an absolute path, without `:`");
            }
        }
    }
    Ok(())
}

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
    let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = config.user.iter().flat_map(|user| user.split(':')).filter(is_number);
    if numbers.into_iter().any(|number| number.parse::<u32>().map_or(true, |number| number > MAX_ID)) {
        return bad("user", TOO_LARGE);
    }
    if config.ports.iter().flatten().any(|port| port.spelled().is_none()) {
        return bad("ports", "want numbers from 1 to 65535, each with `/tcp`, `/udp` or `/sctp` behind it where that is said");
    }
    if config.volumes.iter().flatten().any(|path| !is_absolute(path)) {
        return bad("volumes", "want absolute paths");
    }
    if config.stop_signal.as_ref().is_some_and(|signal| !SIGNALS.contains(&signal.as_str())) {
        return bad("stop-signal", "want a signal's name, such as `SIGTERM`");
    }
    check_users(config.passwd.as_deref().unwrap_or_default(), &bad)?;
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
