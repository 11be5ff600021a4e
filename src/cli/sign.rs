//! `sign` and `attest`: what a key says of an image, written beside it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::context::Context;
use super::hints::Advise as _;
use super::keys::{SignerArgs, now};
use crate::images::sign::{self, Format, Signed};
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::fs::FileError;
use plugin_oci::signatures::keys::{KeyFile, Signer};
use plugin_oci::stores::Selector;
use plugin_oci::values::epoch::Epoch;
use plugin_oci::values::reference::{Reference, RegistryReference};

/// Flags of `sign`.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// The image: `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker://HOST/REPO[:TAG][@DIGEST]`
    image: String,
    #[command(flatten)]
    signer: SignerArgs,
    /// The form of the signature, by who is to read it
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    format: FormatChoice,
    /// The name to sign the image under, with `--format simplesigning` [default: IMAGE, where that is at a registry]
    #[arg(long, value_name = "REF")]
    identity: Option<String>,
    /// The certificate of the key and those above it, PEM, with `--format notation`
    #[arg(long, value_name = "FILE", required_if_eq("format", "notation"))]
    certificate: Option<PathBuf>,
}

/// The form of a signature.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum FormatChoice {
    /// For cosign 3 and sigstore's libraries; the SBOM and the provenance are signed too.
    #[default]
    Bundle,
    /// For cosign 2, skopeo, podman and CRI-O, on each platform too.
    Simplesigning,
    /// For notation.
    Notation,
}

/// Flags of `attest`.
#[derive(Debug, Args)]
pub struct AttestArgs {
    /// The image: `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker://HOST/REPO[:TAG][@DIGEST]`
    image: String,
    /// What is said of the image: a JSON file
    #[arg(long, value_name = "FILE")]
    predicate: PathBuf,
    /// What kind of thing that is: a URI, or one of cosign's words for some
    #[arg(long = "type", value_name = "TYPE", value_parser = predicate_type)]
    kind: String,
    #[command(flatten)]
    signer: SignerArgs,
}

/// Signs an image.
pub fn sign(args: &SignArgs, context: &Context) -> Result<ExitCode, Error> {
    let reference = context.image(&args.image)?;
    let format = format(args, &reference, context)?;
    let signed = sign_as(&reference, &format, args.signer.signer(context)?.as_ref(), context)?;
    print(&signed, context);
    Ok(ExitCode::SUCCESS)
}

fn format(args: &SignArgs, reference: &Reference, context: &Context) -> Result<Format, Error> {
    for (flag, given, wanted) in [
        ("--identity", args.identity.is_some(), FormatChoice::Simplesigning),
        ("--certificate", args.certificate.is_some(), FormatChoice::Notation),
    ] {
        if given && args.format != wanted {
            return Err(Complaint::usage(format!("this form of signature has no place for `{flag}`")).into());
        }
    }
    Ok(match args.format {
        FormatChoice::Bundle => Format::Bundle,
        FormatChoice::Simplesigning => Format::Simple(identity(args.identity.as_deref(), reference)?),
        FormatChoice::Notation => {
            let path = args.certificate.as_deref().map(|path| context.path(path)).unwrap_or_default();
            let epoch = context.env.text("SOURCE_DATE_EPOCH").map(Epoch::parse).transpose()?;
            Format::Notation(KeyFile::read(&path)?.certificates(now())?, epoch.unwrap_or_default(), now())
        }
    })
}

/// The name that an image is signed under.
fn identity(given: Option<&str>, reference: &Reference) -> Result<String, Error> {
    match (given, reference) {
        (Some(given), _) => Ok(RegistryReference::parse(given).map(|_| given.to_owned())?),
        (None, Reference::Registry(registry)) => {
            let tag = registry.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
            Ok(format!("{}{tag}", registry.name()))
        }
        (None, _) => {
            let message = format!("nothing says under which name `{reference}` is to be signed");
            Err(Complaint::usage(message).with_hint("say where it will be with `--identity HOST/REPO:TAG`").into())
        }
    }
}

/// Signs the image of a reference in bundles.
pub fn sign_with(reference: &Reference, signer: &dyn Signer, context: &Context) -> Result<Signed, Error> {
    sign_as(reference, &Format::Bundle, signer, context)
}

fn sign_as(reference: &Reference, format: &Format, signer: &dyn Signer, context: &Context) -> Result<Signed, Error> {
    let (source, sink) = (context.stores().source(reference)?, context.stores().sink(reference)?);
    let selector = Selector::of(reference.tag(), reference.digest());
    let signed = sign::sign(source.as_ref(), sink.as_ref(), &selector, format, signer)?;
    tell(reference, &signed, context);
    Ok(signed)
}

/// Signs a predicate about an image.
pub fn attest(args: &AttestArgs, context: &Context) -> Result<ExitCode, Error> {
    let reference = context.image(&args.image)?;
    let path = context.path(&args.predicate);
    let predicate = std::fs::read(&path).map_err(FileError::at("read", &path))?;
    let signer = args.signer.signer(context)?;
    let (source, sink) = (context.stores().source(&reference)?, context.stores().sink(&reference)?);
    let selector = Selector::of(reference.tag(), reference.digest());
    let said = (args.kind.as_str(), predicate.as_slice());
    let signed = sign::attest(source.as_ref(), sink.as_ref(), &selector, said, signer.as_ref())?;
    tell(&reference, &signed, context);
    print(&signed, context);
    Ok(ExitCode::SUCCESS)
}

fn tell(reference: &Reference, signed: &Signed, context: &Context) {
    for said in &signed.said {
        let verb = if said.is_new { "Signed" } else { "Fresh" };
        context.progress().status(verb, format!("{reference}: {}", said.predicate_type));
    }
}

fn print(signed: &Signed, context: &Context) {
    context.result("signed", signed, || {
        let manifests = signed.said.iter().map(|said| said.manifest.to_string());
        manifests.collect::<Vec<_>>().join("\n")
    });
}

/// The words of `cosign attest --type`, or a URI.
fn predicate_type(text: &str) -> Result<String, Complaint> {
    const WORDS: [(&str, &str); 8] = [
        ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
        ("slsaprovenance02", "https://slsa.dev/provenance/v0.2"),
        ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
        ("spdxjson", "https://spdx.dev/Document"),
        ("cyclonedx", "https://cyclonedx.org/bom"),
        ("vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"),
        ("openvex", "https://openvex.dev/ns"),
        ("custom", "https://cosign.sigstore.dev/attestation/v1"),
    ];
    if let Some((_, uri)) = WORDS.iter().find(|(word, _)| *word == text) {
        return Ok((*uri).to_owned());
    }
    if text.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty()) {
        return Ok(text.to_owned());
    }
    let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
    Err(Complaint::usage(format!("want a URI, or one of {}", words.join(", "))))
}
