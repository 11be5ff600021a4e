//! The `plugin-registry` program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use plugin_oci::environment::Environment;
use plugin_registry::http::{Registry, Settings, listen};
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
    /// Make a new key, before those that a file has
    Keygen {
        /// The file
        file: PathBuf,
    },
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
    /// The most bytes that a blob may have
    #[arg(long, value_name = "BYTES", default_value_t = 100 << 30)]
    max_blob: u64,
    /// How many seconds a client may be silent within a request
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
}

fn environment() -> std::io::Result<Environment> {
    Ok(Environment::new(std::env::vars_os(), std::env::current_dir()?))
}

fn main() -> ExitCode {
    let outcome = match Program::parse().verb {
        Verb::Serve(serve) => serve.run(),
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
    fn run(self) -> Result<(), String> {
        // Whoever speaks TLS here takes the process's provider.
        drop(rustls::crypto::ring::default_provider().install_default());
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?;
        let outcome = runtime.block_on(self.serve());
        runtime.shutdown_timeout(Duration::from_secs(1));
        outcome
    }

    async fn serve(self) -> Result<(), String> {
        let environment = environment().map_err(|error| error.to_string())?;
        let store = Store::open(&self.store, &environment).map_err(|error| error.to_string())?;
        let keys = self.read_keys(&store)?;
        let settings = Settings {
            immutable: self.immutable.into_iter().map(Pattern::new).collect(),
            blob_limit: self.max_blob,
            patience: Duration::from_secs(self.patience),
        };
        let listening = listen(self.listen).await.map_err(|error| format!("{}: {error}", self.listen))?;
        let address = listening.address().map_err(|error| error.to_string())?;
        println!("serving {} at http://{address}", self.store);
        listening.serve(Arc::new(Registry::new(store, keys, settings)), stopped()).await;
        Ok(())
    }

    fn read_keys(&self, store: &Store) -> Result<Keys, String> {
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
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Keys::parse(&text).ok_or_else(|| format!("{}: these are no keys", path.display()))
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
