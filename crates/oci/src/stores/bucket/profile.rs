//! What the environment and the files of AWS's own tools say about S3.
//!
//! | what | variable, else | key of the profile |
//! |---|---|---|
//! | credentials | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | the same in lower case |
//! | region | `AWS_REGION`, `AWS_DEFAULT_REGION` | `region` |
//! | endpoint | `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` | `endpoint_url` |
//!
//! The profile is `AWS_PROFILE` or `default`: `[NAME]` of `~/.aws/credentials` (`AWS_SHARED_CREDENTIALS_FILE`), `[profile NAME]` of
//! `~/.aws/config` (`AWS_CONFIG_FILE`), where `[default]` has no word before it ("Configuration and credential file settings",
//! AWS CLI User Guide). Roles, single sign-on and the metadata of machines are not asked: their tools export the variables.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::sign::Signer;
use super::{BucketError, StoreError};
use crate::environment::Environment;
use crate::fs::FileError;

/// What is valid for all regions of stores that have none, and AWS's oldest.
const REGION: &str = "us-east-1";

/// How S3 is reached.
pub struct Profile {
    pub(super) signer: Signer,
    /// The URL of another store than AWS's.
    pub(super) endpoint: Option<String>,
}

impl Profile {
    /// Reads it.
    pub fn of(environment: &Environment) -> Result<Self, StoreError> {
        let name = environment.text("AWS_PROFILE").filter(|name| !name.is_empty()).unwrap_or("default");
        let file = |variable: &str, usual: &str| {
            let home = || environment.path("HOME").map(|home| home.join(".aws").join(usual));
            environment.path(variable).map(|path| environment.resolve(&path)).or_else(home)
        };
        let own = if name == "default" { name.to_owned() } else { format!("profile {name}") };
        let mut kept = section(file("AWS_CONFIG_FILE", "config"), &own)?;
        kept.extend(section(file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), name)?);
        let set = |variable: &str| environment.text(variable).filter(|value| !value.is_empty()).map(str::to_owned);
        let mut credentials = (set("AWS_ACCESS_KEY_ID"), set("AWS_SECRET_ACCESS_KEY"), set("AWS_SESSION_TOKEN"));
        if credentials.0.is_none() {
            let mut take = |key: &str| kept.remove(key);
            credentials = (take("aws_access_key_id"), take("aws_secret_access_key"), take("aws_session_token"));
        }
        let (Some(key), Some(secret), token) = credentials else {
            return Err(BucketError::NoCredentials { profile: name.to_owned() }.into());
        };
        let region = set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION")).or_else(|| kept.remove("region"));
        let endpoint = set("AWS_ENDPOINT_URL_S3").or_else(|| set("AWS_ENDPOINT_URL")).or_else(|| kept.remove("endpoint_url"));
        let region = region.unwrap_or_else(|| REGION.to_owned());
        Ok(Self { signer: Signer { key, secret: Zeroizing::new(secret), token, region }, endpoint })
    }

    /// Key, secret and, where they are for a while only, token.
    pub fn credentials(&self) -> (&str, &str, Option<&str>) {
        (&self.signer.key, &self.signer.secret, self.signer.token.as_deref())
    }

    /// The region, which all stores want to be told.
    pub fn region(&self) -> &str {
        &self.signer.region
    }

    /// The URL of another store than AWS's.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }
}

/// A section of a file, where both are there.
fn section(path: Option<PathBuf>, wanted: &str) -> Result<BTreeMap<String, String>, StoreError> {
    let Some(path) = path else { return Ok(BTreeMap::new()) };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(FileError::at("read", &path)(error).into()),
    };
    let (mut found, mut is_wanted) = (BTreeMap::new(), false);
    for line in text.lines() {
        // What is indented belongs to the key above it.
        if line.starts_with([' ', '\t', '#', ';']) {
            continue;
        }
        if let Some(name) = line.trim_end().strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_wanted = name.split_whitespace().eq(wanted.split_whitespace());
        } else if is_wanted && let Some((key, value)) = line.split_once('=') {
            found.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(variables: &[(&str, &str)]) -> Result<Profile, StoreError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(".aws")).unwrap();
        std::fs::write(dir.path().join(".aws/credentials"), "# x\n[default]\naws_access_key_id = a\naws_secret_access_key=b=\n[other]\naws_access_key_id = c\naws_secret_access_key = d\naws_session_token = e\n").unwrap();
        std::fs::write(
            dir.path().join(".aws/config"),
            "[default]\nregion = auto\n[profile other]\nregion = eu-1\nendpoint_url = https://s3.test\ns3 =\n  region = no\n",
        )
        .unwrap();
        let home = [("HOME".into(), dir.path().as_os_str().to_owned())];
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Profile::of(&Environment::new(home.into_iter().chain(variables), "/"))
    }

    #[test]
    fn variables_come_before_the_profile_and_credentials_are_never_mixed() {
        let seen = |variables: &[(&str, &str)]| {
            let Profile { signer, endpoint } = profile(variables).unwrap();
            [Some(signer.key), Some(signer.secret.to_string()), signer.token, Some(signer.region), endpoint]
                .map(Option::unwrap_or_default)
        };
        assert_eq!(seen(&[]), ["a", "b=", "", "auto", ""]);
        assert_eq!(seen(&[("AWS_PROFILE", "other")]), ["c", "d", "e", "eu-1", "https://s3.test"]);
        let own = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "y"), ("AWS_PROFILE", "other"), ("AWS_REGION", "r")];
        assert_eq!(seen(&own), ["x", "y", "", "r", "https://s3.test"]);
        assert!(profile(&[("AWS_PROFILE", "none")]).is_err() && profile(&[("AWS_ACCESS_KEY_ID", "x")]).is_err());
    }
}
