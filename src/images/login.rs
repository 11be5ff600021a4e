//! `login` and `logout`: the ordinary container auth file, without docker to write it.

use std::path::PathBuf;

use serde::Serialize;

use plugin_oci::environment::Environment;
use plugin_oci::failure::{Class, Complaint, Error, Failure};
use plugin_oci::progress::Progress;
use plugin_oci::stores::registry::{AuthFiles, Client, Credential, Settings};
use plugin_oci::values::reference::{ReferenceError, RegistryReference};

/// Who logs in where. The password has no way to be shown.
pub struct Login {
    /// The registry.
    pub host: String,
    pub user: String,
    /// The password or token.
    pub password: String,
}

/// What changed.
#[derive(Clone, Debug, Serialize)]
pub struct Changed {
    /// The registry.
    pub host: String,
    /// The files that were written.
    pub files: Vec<AuthFile>,
}

/// A file with credentials.
#[derive(Clone, Debug, Serialize)]
pub struct AuthFile {
    pub path: PathBuf,
}

/// Asks the registry whether it accepts the credentials, then stores them.
pub fn login(login: &Login, settings: Settings, environment: &Environment, progress: &dyn Progress) -> Result<Changed, Error> {
    let host = check_host(&login.host)?;
    if login.user.is_empty() || login.user.contains(':') || login.password.is_empty() {
        return Err(Complaint::usage("a user name without a colon and a password that is not empty are needed").into());
    }
    let files = AuthFiles::new(settings.authfile.as_deref(), environment);
    let credential = Credential::Basic { user: login.user.clone(), password: login.password.clone() };
    Client::new(settings, environment, progress).offering(&host, credential).check_login(&host)?;
    let file = files.store(&host, &login.user, &login.password)?;
    progress.status("Stored", format!("credentials for {host} in {}", file.display()));
    Ok(Changed { host, files: vec![AuthFile { path: file }] })
}

/// Removes the credentials of a registry from every auth file.
pub fn logout(host: &str, settings: &Settings, environment: &Environment, progress: &dyn Progress) -> Result<Changed, Error> {
    let host = check_host(host)?;
    let files = AuthFiles::new(settings.authfile.as_deref(), environment).erase(&host)?;
    if files.is_empty() {
        return Err(LoginError::NoCredentials(host).into());
    }
    for file in &files {
        progress.status("Removed", format!("credentials for {host} from {}", file.display()));
    }
    Ok(Changed { host, files: files.into_iter().map(|path| AuthFile { path }).collect() })
}

/// A host as references spell it; `docker://` before it and slashes after it are forgiven.
fn check_host(text: &str) -> Result<String, Error> {
    let host = text.strip_prefix("docker://").or_else(|| text.strip_prefix("https://")).unwrap_or(text).trim_end_matches('/');
    match RegistryReference::parse(&format!("{host}/x")) {
        Ok(found) if found.host == host && found.repository == "x" => Ok(found.host),
        Err(error @ ReferenceError::Credentials { .. }) => Err(error.into()),
        _ => Err(LoginError::NoHost(text.to_owned()).into()),
    }
}

/// Why credentials are not stored or removed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// No host of a registry, as references spell one.
    #[error("`{}` is no registry host", .0.escape_debug())]
    NoHost(String),
    /// Nothing to remove.
    #[error("there are no credentials for {0}")]
    NoCredentials(String),
}

impl Failure for LoginError {
    fn class(&self) -> Class {
        match self {
            Self::NoHost(_) => Class::Usage,
            Self::NoCredentials(_) => Class::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_what_references_call_one() {
        for (text, host) in [("r.test", "r.test"), ("localhost:5000", "localhost:5000"), ("https://r.test/", "r.test")] {
            assert_eq!(check_host(text).unwrap(), host);
        }
        for bad in ["", "r.test/x", "plain", "r.test:x", "me@r.test", "-"] {
            assert!(check_host(bad).is_err(), "{bad}");
        }
    }
}
