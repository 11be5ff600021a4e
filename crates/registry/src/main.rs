//! The `plugin-registry` program.

mod serve;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use plugin_oci::environment::Environment;
use plugin_registry::audit::Audit;
use plugin_registry::auth::{Action, Token, revoke};
use plugin_registry::gc::{Options, Told, collect, rebuild};
use plugin_registry::keys::Keys;
use plugin_registry::pattern::Pattern;
use plugin_registry::store::Store;

use serve::Serve;

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
    Serve(Box<Serve>),
    /// Print a new token
    Token(NewToken),
    /// Let a token be good no longer
    Revoke {
        /// The store that the registry serves
        store: String,
        /// The token, or the identifier that it was printed with
        token: String,
        /// Tell of it in this file, as `serve` does
        #[arg(long, value_name = "FILE", env = "PLUGIN_REGISTRY_AUDIT_LOG")]
        audit_log: Option<PathBuf>,
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
        /// Tell of it in this file, as `serve` does
        #[arg(long, value_name = "FILE", env = "PLUGIN_REGISTRY_AUDIT_LOG")]
        audit_log: Option<PathBuf>,
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
        Verb::Revoke { store, token, audit_log } => asynchronously(async move {
            let audit = audit_log.map(Audit::new);
            audit.as_ref().map_or(Ok(()), Audit::ready).map_err(|error| format!("the audit log cannot be written: {error}"))?;
            let store = Store::open(&store, &environment()?).map_err(|error| error.to_string())?;
            let known = Token::unverified(&token);
            let (id, expires) = known.map_or((token, u64::MAX), |known| (known.id, known.expires));
            revoke(&store, &id, expires, audit.as_ref()).await.map_err(|error| error.to_string())
        }),
        Verb::Gc { store, wait, dry_run, audit_log } => asynchronously(async move {
            let store = Store::open(&store, &environment()?).map_err(|error| error.to_string())?;
            let told = collect(&store, &Options { wait, dry_run, audit: audit_log.map(Audit::new) })
                .await
                .map_err(|error| error.to_string())?;
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
