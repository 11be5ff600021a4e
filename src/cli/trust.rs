//! What an image must show before anything is done with it: flags of every verb that takes one from elsewhere.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::context::Context;
use super::hints::Advise as _;
use super::keys::now;
use crate::images::trust::{self, Demand};
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::finding::Finding;
use plugin_oci::signatures::keys::{KeyFile, PublicKey};
use plugin_oci::stores::{Selector, Source};

/// What is asked of an image.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Trust")]
pub struct TrustArgs {
    /// A public key, or a certificate of one, in PEM: the image must be signed by it (repeatable: by one of them)
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// What must be there, separated by commas: with `--key`, signed by the key [default with --key: signature]
    #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',')]
    require: Vec<Required>,
}

/// What must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Required {
    /// An SBOM.
    Sbom,
    /// Provenance.
    Provenance,
    /// A signature of the image.
    Signature,
}

impl TrustArgs {
    /// What the flags ask for.
    pub fn demands(&self, context: &Context) -> Result<Vec<Demand>, Error> {
        let keys = self.key.iter().map(|path| Ok(KeyFile::read(&context.path(path))?.public(now())?));
        let keys = keys.collect::<Result<Vec<PublicKey>, Error>>()?;
        if keys.is_empty() && self.require.contains(&Required::Signature) {
            let message = "whose signature is required must be said";
            return Err(Complaint::usage(message).with_hint("name the public key with `--key`").into());
        }
        let required = if self.require.is_empty() && !keys.is_empty() { &[Required::Signature][..] } else { &self.require };
        Ok(required
            .iter()
            .map(|required| match required {
                Required::Sbom => Demand::Sbom(keys.clone()),
                Required::Provenance => Demand::Provenance(keys.clone()),
                Required::Signature => Demand::Signature(keys.clone()),
            })
            .collect())
    }

    /// The image, as long as it is trusted: from here on named by the digest that was judged.
    pub fn check(&self, source: &dyn Source, selector: Selector, context: &Context) -> Result<Selector, Error> {
        let demands = self.demands(context)?;
        if demands.is_empty() {
            return Ok(selector);
        }
        let root = source.resolve(&selector)?;
        let findings = trust::judge(source, &root, &demands)?;
        if !findings.is_empty() {
            print(&findings, context);
            let message = format!("{} is not trusted: {} findings, and nothing was done with it", root.digest, findings.len());
            return Err(Complaint::found(message).into());
        }
        context.progress().status("Trusted", root.digest.to_string());
        Ok(Selector::Digest(root.digest))
    }
}

/// Prints what was found.
pub fn print(findings: &[Finding], context: &Context) {
    for finding in findings {
        context.found("finding", finding, (&finding.object, &finding.message, finding.rule));
    }
}
