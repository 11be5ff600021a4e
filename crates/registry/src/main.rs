//! The `plugin-registry` program.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use plugin_oci::environment::Environment;
use plugin_registry::auth::{Action, Gate, Token, revoke};
use plugin_registry::gc::{Options, Told, collect, rebuild};
use plugin_registry::http::{Registry, Settings, Tls, listen};
use plugin_registry::keys::Keys;
use plugin_registry::pattern::Pattern;
use plugin_registry::store::Store;

/// A registry of OCI images whose whole state is a bucket or a directory.
#[derive(Parser)]
#[command(name = "plugin-registry", version)]
struct Program {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Serve a directory or a bucket as a registry
    Serve(Serve),
    /// Print a new token
    Token(NewToken),
    /// Let a token be good no longer
    Revoke {
        /// The store that the registry serves
        store: String,
        /// The token, or the identifier that it was printed with
        token: String,
    },
    /// Condemn what no tag reaches, and remove what was condemned long enough ago. Those who push go on
    Gc {
        /// The store that the registry serves
        store: String,
        /// How long something is condemned before it is removed: longer than any push takes
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = humantime::parse_duration)]
        wait: Duration,
        /// Only tell
        #[arg(long)]
        dry_run: bool,
    },
    /// Make the lists of tags and of referrers say what is there, by one listing of the store
    Rebuild {
        /// The store that the registry serves
        store: String,
    },
    /// Make a new key, before those that a file has
    Keygen {
        /// The file
        file: PathBuf,
    },
}

#[derive(Args)]
struct NewToken {
    /// The file of keys that the registry has
    #[arg(long, env = "PLUGIN_REGISTRY_KEYS")]
    keys: PathBuf,
    /// Repositories that it is for: patterns in which `*` stands for anything
    #[arg(long, value_name = "PATTERN", required = true)]
    repo: Vec<String>,
    /// It lets its owner pull
    #[arg(long)]
    pull: bool,
    /// It lets its owner push
    #[arg(long)]
    push: bool,
    /// It lets its owner remove
    #[arg(long)]
    delete: bool,
    /// For how long: `90d`, `12h`
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = humantime::parse_duration)]
    expires: Duration,
}

#[derive(Args)]
struct Serve {
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
    /// How many requests are answered at once; more are told to come again (429)
    #[arg(long, value_name = "NUMBER", default_value_t = 1024)]
    max_requests: usize,
    /// How many seconds a client may be silent within a request
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
}

fn environment() -> Result<Environment, String> {
    Ok(Environment::new(std::env::vars_os(), std::env::current_dir().map_err(|error| error.to_string())?))
}

/// So much waits for the disk at once. Each takes a thread.
const WAITING: usize = 64;

fn asynchronously(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    // Whoever speaks TLS here takes the process's provider.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_multi_thread().max_blocking_threads(WAITING).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

fn read_keys(path: &Path) -> Result<Keys, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Keys::parse(&text).ok_or_else(|| format!("{}: these are no keys", path.display()))
}

impl NewToken {
    fn print(self) -> Result<(), String> {
        let actions = [(self.pull, Action::Pull), (self.push, Action::Push), (self.delete, Action::Delete)];
        let actions: Vec<Action> = actions.into_iter().filter(|(wanted, _)| *wanted).map(|(_, action)| action).collect();
        if actions.is_empty() {
            return Err("the token is for nothing: say `--pull`, `--push` or `--delete`".to_owned());
        }
        let token = Token::new(self.repo.into_iter().map(Pattern::new).collect(), actions, self.expires);
        eprintln!("identifier: {}", token.id);
        println!("{}", token.signed(&read_keys(&self.keys)?));
        Ok(())
    }
}

fn main() -> ExitCode {
    let outcome = match Program::parse().verb {
        Verb::Serve(serve) => asynchronously(serve.run()),
        Verb::Token(token) => token.print(),
        Verb::Revoke { store, token } => asynchronously(async move {
            let store = Store::open(&store, &environment()?).map_err(|error| error.to_string())?;
            let known = Token::unverified(&token);
            let (id, expires) = known.map_or((token, u64::MAX), |known| (known.id, known.expires));
            revoke(&store, &id, expires).await.map_err(|error| error.to_string())
        }),
        Verb::Gc { store, wait, dry_run } => asynchronously(async move {
            let store = Store::open(&store, &environment()?).map_err(|error| error.to_string())?;
            let told = collect(&store, &Options { wait, dry_run }).await.map_err(|error| error.to_string())?;
            for Told { what, key, bytes } in told {
                println!("{what} {key} {bytes}");
            }
            Ok(())
        }),
        Verb::Rebuild { store } => asynchronously(async move {
            let store = Store::open(&store, &environment()?).map_err(|error| error.to_string())?;
            for key in rebuild(&store).await.map_err(|error| error.to_string())? {
                println!("mended {key}");
            }
            Ok(())
        }),
        Verb::Keygen { file } => Keys::add_to(&file).map_err(|error| format!("{}: {error}", file.display())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Serve {
    async fn run(self) -> Result<(), String> {
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
        gate.refresh(&store).await.map_err(|error| error.to_string())?;
        let settings = Settings {
            immutable: self.immutable.into_iter().map(Pattern::new).collect(),
            blob_limit: self.max_blob,
            patience: Duration::from_secs(self.patience),
            requests: self.max_requests,
            redirect: self.redirect,
            access_log: self.access_log,
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
