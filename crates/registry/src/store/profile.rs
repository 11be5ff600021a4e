//! Credentials in files, which other programs write anew while this one runs ([`plugin_oci::stores::bucket::Profile`]).

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use object_store::aws::AwsCredential;
use object_store::{CredentialProvider, Error, Result};
use plugin_oci::environment::Environment;
use plugin_oci::stores::bucket::Profile;

/// How long what was read is good.
const FRESH: Duration = Duration::from_secs(10);

/// Reads them again before long.
pub(super) struct Files {
    environment: Environment,
    read: Mutex<Option<(Instant, Arc<AwsCredential>)>>,
}

impl Files {
    pub(super) fn of(environment: &Environment) -> Arc<Self> {
        Arc::new(Self { environment: environment.clone(), read: Mutex::new(None) })
    }

    fn credential(&self) -> Result<Arc<AwsCredential>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = read.as_ref().filter(|(since, _)| since.elapsed() < FRESH) {
            return Ok(known.clone());
        }
        let failed = |error| Error::Generic { store: "S3", source: Box::new(error) };
        let profile = Profile::of(&self.environment).map_err(failed)?;
        let (key, secret, token) = profile.credentials();
        let new =
            Arc::new(AwsCredential { key_id: key.to_owned(), secret_key: secret.to_owned(), token: token.map(str::to_owned) });
        *read = Some((Instant::now(), new.clone()));
        Ok(new)
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Files")
    }
}

impl CredentialProvider for Files {
    type Credential = AwsCredential;

    fn get_credential<'own, 'work>(&'own self) -> Pin<Box<dyn Future<Output = Result<Arc<AwsCredential>>> + Send + 'work>>
    where
        'own: 'work,
        Self: 'work,
    {
        Box::pin(std::future::ready(self.credential()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_changed_are_known_before_long() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("credentials");
        let write = |key: &str| {
            let text = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = secret\n");
            std::fs::write(&file, text).unwrap();
        };
        write("one");
        let variables = [("AWS_SHARED_CREDENTIALS_FILE".into(), file.clone().into_os_string())];
        let files = Files::of(&Environment::new(variables, "/"));
        assert_eq!(files.credential().unwrap().key_id, "one");
        write("two");
        assert_eq!(files.credential().unwrap().key_id, "one");
        files.read.lock().unwrap().as_mut().unwrap().0 -= FRESH;
        assert_eq!(files.credential().unwrap().key_id, "two");
    }
}
