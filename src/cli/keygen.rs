//! `keygen`: a pair of keys for signing images.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::context::Context;
use super::hints::Advise as _;
use super::keys::new_password;
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::fs::{self, FileError};
use plugin_oci::signatures::keys::{Algorithm, Certificate, Signer as _, generate};

/// Flags of `keygen`.
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// What the files are called: `PREFIX.key` and `PREFIX.pub`
    #[arg(long, value_name = "PREFIX", default_value = "cosign")]
    output_key_prefix: PathBuf,
    /// What the key signs with
    #[arg(long, value_name = "ALGORITHM", value_enum, default_value_t)]
    algorithm: AlgorithmChoice,
    /// Write a certificate by the key for itself too, `PREFIX.crt`, for this name: for notation
    #[arg(long, value_name = "NAME")]
    certificate: Option<String>,
}

/// What a key signs with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum AlgorithmChoice {
    /// ECDSA on P-256, which every reader knows.
    #[default]
    #[value(name = "ecdsa-p256")]
    P256,
    /// Ed25519.
    Ed25519,
}

#[derive(Serialize)]
struct Written {
    private: PathBuf,
    public: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<PathBuf>,
}

/// Makes a pair of keys. Files that are there are never replaced.
pub fn keygen(args: &KeygenArgs, context: &Context) -> Result<ExitCode, Error> {
    let prefix = context.path(&args.output_key_prefix);
    let file = |extension: &str| {
        let mut name = prefix.clone().into_os_string();
        name.push(extension);
        PathBuf::from(name)
    };
    let (private, public) = (file(".key"), file(".pub"));
    let certificate = args.certificate.as_ref().map(|_| file(".crt"));
    if let Some(there) = [&private, &public].into_iter().chain(&certificate).find(|path| path.symlink_metadata().is_ok()) {
        let message = format!("`{}` exists, and a key is never replaced", there.display());
        return Err(Complaint::usage(message).with_hint("choose another name with `--output-key-prefix`").into());
    }
    let password = new_password(context)?;
    let algorithm = match args.algorithm {
        AlgorithmChoice::P256 => Algorithm::P256,
        AlgorithmChoice::Ed25519 => Algorithm::Ed25519,
    };
    let made = generate(algorithm, password.as_bytes())?;
    let signed = args.certificate.as_ref().map(|name| Certificate::self_signed(&made.key, name)).transpose()?;
    write(&private, made.private.as_bytes(), 0o600)?;
    write(&public, made.key.public().to_pem().as_bytes(), 0o644)?;
    if let Some((path, signed)) = certificate.as_ref().zip(signed) {
        write(path, signed.to_pem().as_bytes(), 0o644)?;
    }
    let written = Written { private, public, certificate };
    context.result("keys", &written, || {
        let paths = [&written.private, &written.public].into_iter().chain(&written.certificate);
        paths.map(|path| path.strip_prefix(&context.env.cwd).unwrap_or(path).display().to_string()).collect::<Vec<_>>().join("\n")
    });
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let (file, path) = fs::staged(path.to_owned(), bytes)?;
    file.persist(&path, mode)
}
