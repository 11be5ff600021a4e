//! A bucket.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{
    Attribute, ClientOptions, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, ObjectStoreScheme, PutMode,
    PutOptions, RetryConfig, UpdateVersion,
};
use plugin_oci::documents::MANIFEST_LIMIT;
use plugin_oci::environment::Environment;
use plugin_oci::progress::Silent;
use plugin_oci::stores::bucket::{Bucket, Location, Profile};
use plugin_oci::stores::registry::{Client, Settings};

use super::client::Clients;
use super::directory::BASE;
use super::parts::Room;
use super::profile::Files;
use super::reading::blocking;
use super::writing::{Writing, attributes};
use super::{Condition, Entry, Kind, Meta, Object, Part, Read, StoreFault, UPLOADS};
use crate::keys::unguessable;

/// What stores copy in one request (Amazon S3 API Reference, `CopyObject`).
pub(super) const COPY_LIMIT: u64 = 5 << 30;
/// For how long a URL leads somewhere.
const LEAD: Duration = Duration::from_mins(15);
/// No request of a store takes longer, without an answer or a piece of one, unless [`PATIENCE_VARIABLE`] says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many seconds.
const PATIENCE_VARIABLE: &str = "PLUGIN_REGISTRY_STORE_PATIENCE";

type Both = (Arc<dyn ObjectStore>, Arc<dyn Signer>);

/// A store, and what makes URLs that lead others to it.
fn both<S: ObjectStore + Signer>(store: S) -> Both {
    let store = Arc::new(store);
    (store.clone(), store)
}

/// A bucket, below a prefix.
pub struct Cloud {
    store: Arc<dyn ObjectStore>,
    signer: Arc<dyn Signer>,
    prefix: String,
    room: Arc<Room>,
    /// Where it is, and whether it is to be said there that this is a registry.
    place: Option<(Location, Environment)>,
    is_new: AtomicBool,
}

impl Cloud {
    pub(super) fn open(location: &str, environment: &Environment) -> Result<Self, StoreFault> {
        let failed = |error: &dyn std::fmt::Display| StoreFault::new(location, error);
        let url = location.parse().map_err(|error| failed(&error))?;
        let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|error| failed(&error))?;
        let patience = match environment.text(PATIENCE_VARIABLE) {
            None => PATIENCE,
            Some(said) => {
                said.parse().map(Duration::from_secs).map_err(|error| failed(&format!("{PATIENCE_VARIABLE}: {error}")))?
            }
        };
        let (options, clients) = (ClientOptions::new().with_allow_http(true), Clients { patience });
        // What was waited for in vain is not waited for again.
        let retry = RetryConfig { max_retries: 8, retry_timeout: patience / 2, ..RetryConfig::default() };
        let variables = environment.vars().filter_map(|(name, value)| {
            Some((name.to_str()?.to_ascii_lowercase(), value.to_str().filter(|value| !value.is_empty())?.to_owned()))
        });
        let built: Result<Both, Error> = match scheme {
            ObjectStoreScheme::AmazonS3 => {
                let mut builder = AmazonS3Builder::new()
                    .with_url(location)
                    .with_client_options(options)
                    .with_http_connector(clients)
                    .with_retry(retry);
                // One object goes at a time, and that every store understands.
                builder = builder.with_disable_bulk_delete(true);
                for (name, value) in
                    variables.filter(|(name, _)| name.starts_with("aws_") && !name.starts_with("aws_endpoint_url"))
                {
                    if let Ok(key) = name.parse() {
                        builder = builder.with_config(key, value);
                    }
                }
                let set = |variable| environment.text(variable).filter(|value| !value.is_empty());
                let mut endpoint = set("AWS_ENDPOINT_URL_S3").or_else(|| set("AWS_ENDPOINT_URL")).map(str::to_owned);
                // Where neither variables nor files have credentials, roles are asked for some.
                if let Ok(profile) = Profile::of(environment) {
                    builder = builder.with_region(profile.region());
                    endpoint = profile.endpoint().map(str::to_owned);
                    if set("AWS_ACCESS_KEY_ID").is_none() {
                        builder = builder.with_credentials(Files::of(environment));
                    }
                }
                if let Some(endpoint) = endpoint {
                    builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
                }
                builder.build().map(both)
            }
            ObjectStoreScheme::GoogleCloudStorage => {
                let mut builder = GoogleCloudStorageBuilder::new()
                    .with_url(location)
                    .with_client_options(options)
                    .with_http_connector(clients)
                    .with_retry(retry);
                for (name, value) in variables {
                    if let Ok(key) = name.parse() {
                        builder = builder.with_config(key, value);
                    }
                }
                builder.build().map(both)
            }
            ObjectStoreScheme::MicrosoftAzure => {
                let mut builder = MicrosoftAzureBuilder::new()
                    .with_url(location)
                    .with_client_options(options)
                    .with_http_connector(clients)
                    .with_retry(retry);
                for (name, value) in variables {
                    if let Ok(key) = name.parse() {
                        builder = builder.with_config(key, value);
                    }
                }
                builder.build().map(both)
            }
            _ => return Err(failed(&"this is no bucket (s3://, gs://, az://)")),
        };
        let prefix = if prefix.as_ref().is_empty() { String::new() } else { format!("{prefix}/") };
        let (store, signer) = built.map_err(|error| failed(&error))?;
        let place = Location::s3(location).and_then(Result::ok).map(|place| (place, environment.clone()));
        Ok(Self { store, signer, prefix, room: Arc::new(Room::new()), place, is_new: AtomicBool::new(true) })
    }

    /// Says, once, that this is a registry, so that a server of files before it says so too. The key ends in a slash, which
    /// no path of `object_store` does.
    pub(super) async fn found(&self) -> Result<(), StoreFault> {
        let Some((place, environment)) = self.place.clone().filter(|_| self.is_new.swap(false, Ordering::Relaxed)) else {
            return Ok(());
        };
        blocking(move || {
            let client = Client::new(Settings::default(), &environment, &Silent);
            let found = Bucket::open(&place, &environment, &client).and_then(|bucket| bucket.found());
            found.map(drop).map_err(|error| StoreFault::new(BASE, error))
        })
        .await
    }

    fn path(&self, key: &str) -> Result<Path, StoreFault> {
        Path::parse(format!("{}{key}", self.prefix)).map_err(|error| StoreFault::new(key, error))
    }

    pub(super) async fn head(&self, key: &str) -> Result<Option<Meta>, StoreFault> {
        match self.store.head(&self.path(key)?).await {
            Ok(found) => Ok(Some(Meta { size: found.size, modified: found.last_modified.into() })),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(StoreFault::new(key, error)),
        }
    }

    pub(super) async fn read(&self, key: &str, part: Option<Part>) -> Result<Read, StoreFault> {
        let range = part.map(|part| match part {
            Part::From(first, None) => GetRange::Offset(first),
            Part::From(first, Some(last)) => GetRange::Bounded(first..last.saturating_add(1)),
            Part::Last(count) => GetRange::Suffix(count),
        });
        match self.store.get_opts(&self.path(key)?, GetOptions { range, ..GetOptions::default() }).await {
            Ok(found) => {
                let (size, range, own) = (found.meta.size, found.range.clone(), key.to_owned());
                let pieces = found.into_stream().map_err(move |error| StoreFault::new(&own, error)).boxed();
                Ok(Read::Found { size, range, pieces })
            }
            Err(Error::NotFound { .. }) => Ok(Read::Absent),
            // Stores say in many ways that there are fewer bytes.
            Err(error) => match (part, self.head(key).await?) {
                (_, None) => Ok(Read::Absent),
                (Some(part), Some(meta)) => match part.of(meta.size) {
                    None => Ok(Read::Outside { size: meta.size }),
                    // Azure counts from the beginning alone.
                    Some(range) if matches!(error, Error::NotSupported { .. }) => {
                        Box::pin(self.read(key, Some(Part::From(range.start, Some(range.end - 1))))).await
                    }
                    Some(_) => Err(StoreFault::new(key, error)),
                },
                _ => Err(StoreFault::new(key, error)),
            },
        }
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Object>, StoreFault> {
        let found = match self.store.get(&self.path(key)?).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(StoreFault::new(key, error)),
        };
        if found.meta.size > MANIFEST_LIMIT {
            return Err(StoreFault::new(key, "it is too large for a document"));
        }
        let version = found.meta.e_tag.clone().or(found.meta.version.clone()).unwrap_or_default();
        let content_type = found.attributes.get(&Attribute::ContentType).map(|value| value.as_ref().to_owned());
        let bytes = found.bytes().await.map_err(|error| StoreFault::new(key, error))?;
        Ok(Some(Object { bytes: bytes.into(), version, content_type }))
    }

    pub(super) async fn put(&self, key: &str, kind: &Kind, bytes: Vec<u8>, condition: Condition) -> Result<bool, StoreFault> {
        let mode = match condition {
            Condition::None => PutMode::Overwrite,
            Condition::Absent => PutMode::Create,
            Condition::Unchanged(version) => {
                PutMode::Update(UpdateVersion { e_tag: Some(version.clone()), version: Some(version) })
            }
        };
        let options = PutOptions { mode, attributes: attributes(kind), ..PutOptions::default() };
        match self.store.put_opts(&self.path(key)?, bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(StoreFault::new(key, error)),
        }
    }

    /// Begins an object; of so many bytes, where that is known.
    pub(super) fn begin(&self, key: &str, length: Option<u64>) -> Result<Writing, StoreFault> {
        let elsewhere = self.path(&format!("{UPLOADS}{}/waiting", unguessable()))?;
        Ok(Writing::new(self.store.clone(), self.room.clone(), self.path(key)?, elsewhere, length))
    }

    /// Whether the store could.
    pub(super) async fn copy(&self, from: &str, to: &str) -> Result<bool, StoreFault> {
        match self.store.copy(&self.path(from)?, &self.path(to)?).await {
            Ok(()) => Ok(true),
            Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => Ok(false),
            Err(error) => Err(StoreFault::new(from, error)),
        }
    }

    /// A URL by which anybody may read an object for a while.
    pub(super) async fn url(&self, key: &str) -> Result<String, StoreFault> {
        let signed = self.signer.signed_url(axum::http::Method::GET, &self.path(key)?, LEAD).await;
        signed.map(String::from).map_err(|error| StoreFault::new(key, error))
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), StoreFault> {
        match self.store.delete(&self.path(key)?).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(StoreFault::new(key, error)),
        }
    }

    pub(super) async fn list(&self, folder: &str) -> Result<Vec<Entry>, StoreFault> {
        let path = self.path(folder.trim_end_matches('/'))?;
        let entries = self.store.list(Some(&path)).try_filter_map(|found| async move {
            let key = found.location.as_ref().strip_prefix(&self.prefix).map(str::to_owned);
            Ok(key.map(|key| Entry { key, size: found.size, modified: found.last_modified.into() }))
        });
        let mut entries: Vec<Entry> = entries.try_collect().await.map_err(|error| StoreFault::new(folder, error))?;
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(entries)
    }
}
