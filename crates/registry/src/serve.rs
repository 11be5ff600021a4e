//! A server of its flags.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use plugin_registry::audit::Audit;
use plugin_registry::auth::Gate;
use plugin_registry::http::{Policy, Registry, Settings, Tls, listen};
use plugin_registry::keys::Keys;
use plugin_registry::mirror::Mirrors;
use plugin_registry::pattern::Pattern;
use plugin_registry::store::Store;

use super::{environment, read_keys};

/// When a policy is asked.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum When {
    /// At each pull of a manifest
    Pull,
    /// When a tag is set
    Push,
}

#[derive(Args)]
pub struct Serve {
    /// A directory, or a bucket: `s3://BUCKET/PREFIX`, `gs://..`, `az://..`
    store: String,
    /// The address to listen at; port 0 is any that is free
    #[arg(long, default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
    /// A file of keys, as `keygen` writes it; all replicas have the same. For a directory: `_r/keys` in it, made where it is not there
    #[arg(long, env = "PLUGIN_REGISTRY_KEYS")]
    keys: Option<PathBuf>,
    /// Tags that never move once they are there: patterns of a tag or of NAME:TAG, in which `*` stands for anything
    #[arg(long, value_name = "PATTERN")]
    immutable: Vec<String>,
    /// Want a token of everybody. So it is anyhow, where others than this machine are listened to
    #[arg(long)]
    auth: bool,
    /// Repositories that everybody may pull, and a token is wanted for all else: patterns in which `*` stands for anything
    #[arg(long, value_name = "PATTERN")]
    anonymous: Vec<String>,
    /// Want no token, whoever is listened to
    #[arg(long, conflicts_with_all = ["auth", "anonymous"])]
    no_auth: bool,
    /// The most bytes that a blob may have
    #[arg(long, value_name = "BYTES", default_value_t = 100 << 30)]
    max_blob: u64,
    /// A certificate and its chain, as PEM: serve by TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its key, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Lead those who pull a blob to the bucket, by a URL that is good for a quarter of an hour
    #[arg(long)]
    redirect: bool,
    /// Tell of each request on standard error, as a line of JSON
    #[arg(long)]
    access_log: bool,
    /// Tell of each act that changes something, or is refused, as a line of JSON in this file; `-` is standard output. What cannot be told is not done
    #[arg(long, value_name = "FILE", env = "PLUGIN_REGISTRY_AUDIT_LOG")]
    audit_log: Option<PathBuf>,
    /// Let only be pulled what a policy accepts: containers-policy.json, or TOML as `cargo plugin-build verify --policy` takes it
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// When the policy is asked: at each pull of a manifest, or when a tag is set
    #[arg(long, value_name = "WHEN", value_delimiter = ',', default_value = "pull", requires = "policy")]
    policy_at: Vec<When>,
    /// What clients call this registry, for a policy of names: `HOST` or `HOST:PORT`
    #[arg(long, value_name = "HOST", requires = "policy")]
    policy_host: Option<String>,
    /// Serve the repositories of another registry as well: `HOST/PREFIX`, or `PATTERN=HOST/PREFIX`, where the pattern is `NAME/*` or a repository
    #[arg(long, value_name = "[PATTERN=]REGISTRY")]
    mirror: Vec<String>,
    /// How long a tag of another registry is believed before that is asked again
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration, requires = "mirror")]
    mirror_for: Duration,
    /// How many requests are answered at once; more are told to come again (429)
    #[arg(long, value_name = "NUMBER", default_value_t = 1024)]
    max_requests: usize,
    /// How many seconds a client may be silent within a request
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
}

impl Serve {
    pub async fn run(self) -> Result<(), String> {
        #[cfg(unix)]
        allow_open_files();
        let environment = environment()?;
        let store = Store::open(&self.store, &environment).map_err(|error| error.to_string())?;
        let keys = self.keys(&store)?;
        let wants_tokens = self.auth || !self.anonymous.is_empty() || !self.listen.ip().is_loopback();
        let gate = if self.no_auth || !wants_tokens {
            Gate::open()
        } else {
            Gate::closed(self.anonymous.into_iter().map(Pattern::new).collect())
        };
        let audit = self.audit_log.clone().map(|path| Arc::new(Audit::new(path)));
        if let Some(audit) = &audit {
            audit.ready().map_err(|error| format!("the audit log cannot be written: {error}"))?;
        }
        gate.refresh(&store).await.map_err(|error| error.to_string())?;
        let asks = |when| self.policy_at.contains(&when);
        let policy = self
            .policy
            .clone()
            .map(|file| Policy::new(environment.resolve(&file), self.policy_host.clone(), asks(When::Pull), asks(When::Push)));
        let policy = policy.transpose()?;
        let mirrors = Mirrors::new(&self.mirror, self.mirror_for, &environment)?;
        let mirrors = Some(mirrors).filter(|_| !self.mirror.is_empty());
        let settings = Settings {
            immutable: self.immutable.into_iter().map(Pattern::new).collect(),
            blob_limit: self.max_blob,
            patience: Duration::from_secs(self.patience),
            requests: self.max_requests,
            redirect: self.redirect,
            access_log: self.access_log,
            audit,
            policy,
            mirrors,
        };
        if self.redirect && store.directory().is_some() {
            return Err("a directory has no URL to lead others to: `--redirect` is for buckets".to_owned());
        }
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(certificates), Some(key)) => Some(Tls::read(certificates, key)?),
            _ => None,
        };
        let listening = listen(self.listen).await.map_err(|error| format!("{}: {error}", self.listen))?;
        let address = listening.address().map_err(|error| error.to_string())?;
        println!("serving {} at {}://{address}", self.store, if tls.is_some() { "https" } else { "http" });
        listening.serve(Arc::new(Registry::new(store, keys, gate, settings)), tls, stopped()).await;
        Ok(())
    }

    fn keys(&self, store: &Store) -> Result<Keys, String> {
        let path = match (&self.keys, store.directory()) {
            (Some(path), _) => path.clone(),
            (None, Some(directory)) => {
                let path = directory.join("_r/keys");
                if !path.exists() {
                    Keys::add_to(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                }
                path
            }
            (None, None) => return Err("a bucket needs `--keys FILE`; `plugin-registry keygen FILE` makes one".to_owned()),
        };
        read_keys(&path)
    }
}

/// Lets as many files be open as the system allows at most: each request has one for its connection, and one for its blob.
#[cfg(unix)]
fn allow_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Some systems allow less than they say; then it stays as it is.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

/// Ends when the process is to stop.
async fn stopped() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else { return drop(interrupt.await) };
        tokio::select! {
            _ = interrupt => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    drop(interrupt.await);
}
