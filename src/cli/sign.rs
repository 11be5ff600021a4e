//! `sign` and `attest`: what a key says of an image, written beside it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::context::Context;
use super::keys::SignerArgs;
use crate::images::sign::{self, Signed};
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::fs::FileError;
use plugin_oci::signatures::keys::Signer;
use plugin_oci::stores::Selector;
use plugin_oci::values::reference::Reference;

/// Flags of `sign`.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// The image: `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker://HOST/REPO[:TAG][@DIGEST]`
    image: String,
    #[command(flatten)]
    signer: SignerArgs,
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
    let signed = sign_with(&context.image(&args.image)?, args.signer.signer(context)?.as_ref(), context)?;
    print(&signed, context);
    Ok(ExitCode::SUCCESS)
}

/// Signs the image of a reference.
pub fn sign_with(reference: &Reference, signer: &dyn Signer, context: &Context) -> Result<Signed, Error> {
    let (source, sink) = (context.stores().source(reference)?, context.stores().sink(reference)?);
    let selector = Selector::of(reference.tag(), reference.digest());
    let signed = sign::sign(source.as_ref(), sink.as_ref(), &selector, signer)?;
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
