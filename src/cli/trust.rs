//! What an image must show before anything is done with it: flags of every verb that takes one from elsewhere.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::context::Context;
use super::hints::Advise as _;
use super::keys::now;
use crate::images::install::Checked;
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::finding::Finding;
use plugin_oci::signatures::keys::{KeyFile, PublicKey};
use plugin_oci::stores::{Selector, Source, meant_tags};
use plugin_oci::trust::policy::{self, Required};
use plugin_oci::trust::{self, Demand};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::reference::Reference;

/// What is asked of an image.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Trust")]
pub struct TrustArgs {
    /// A public key, or a certificate of one, in PEM: the image must be signed by it (repeatable: by one of them)
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// What must be there, separated by commas: with `--key`, signed by the key [default with --key: signature]
    #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',')]
    require: Vec<RequiredChoice>,
    /// A policy to judge by: containers-policy.json(5), or TOML with `[images]` and cargo-deny's `[bans]` and `[licenses]` [default:
    /// `cargo-plugin-build/policy.json` or `policy.toml` in the user's configuration directory, where there is one]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Ask nothing of the image that the flags here do not ask, whatever the user's policy says
    #[arg(long, conflicts_with = "policy")]
    insecure_policy: bool,
}

/// What must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RequiredChoice {
    /// An SBOM.
    Sbom,
    /// Provenance.
    Provenance,
    /// A signature of the image.
    Signature,
}

impl TrustArgs {
    /// What the flags ask for, and the user's policy of an image that somebody named.
    pub fn demands(&self, reference: &Reference, is_named: bool, context: &Context) -> Result<Vec<Demand>, Error> {
        let keys = self.key.iter().map(|path| Ok(KeyFile::read(&context.path(path))?.public(now())?));
        let keys = keys.collect::<Result<Vec<PublicKey>, Error>>()?;
        if keys.is_empty() && self.require.contains(&RequiredChoice::Signature) {
            let message = "whose signature is required must be said";
            return Err(Complaint::usage(message).with_hint("name the public key with `--key`").into());
        }
        let mut required: Vec<Required> = self.require.iter().map(|choice| choice.required()).collect();
        if required.is_empty() && !keys.is_empty() {
            required.push(Required::Signature);
        }
        let mut demands: Vec<Demand> = required.into_iter().map(|required| required.by(&keys)).collect();
        let policy = match &self.policy {
            Some(path) => Some(context.path(path)),
            None if is_named && !self.insecure_policy => users_policy(context),
            None => None,
        };
        if let Some(path) = policy {
            for named in names(reference, context)? {
                demands.extend(policy::demands(&path, &named, now())?);
            }
        }
        Ok(demands)
    }

    /// The image, as long as it is trusted: from here on named by the digest that was judged.
    pub fn check(
        &self,
        source: &dyn Source,
        reference: &Reference,
        is_named: bool,
        context: &Context,
    ) -> Result<Selector, Error> {
        Ok(self.check_signers(source, reference, is_named, context)?.0)
    }

    /// The same, and the keys that have signed it; `None` where nothing is asked.
    pub fn check_signers(
        &self,
        source: &dyn Source,
        reference: &Reference,
        is_named: bool,
        context: &Context,
    ) -> Result<(Selector, Option<Vec<Digest>>), Error> {
        let selector = Selector::of(reference.tag(), reference.digest());
        let demands = self.demands(reference, is_named, context)?;
        if demands.is_empty() {
            return Ok((selector, None));
        }
        let root = source.resolve(&selector)?;
        let findings = trust::judge(source, &root, &demands, now())?;
        if !findings.is_empty() {
            print(&findings, context);
            let count = if findings.len() == 1 { "1 finding".to_owned() } else { format!("{} findings", findings.len()) };
            let message = format!("{} is not trusted: {count}, and nothing was done with it", root.digest);
            return Err(Complaint::found(message).into());
        }
        context.progress().status("Trusted", root.digest.to_string());
        let signers = trust::signers(source, &root, &demands, now())?;
        Ok((Selector::Digest(root.digest), Some(signers)))
    }

    /// What the flags find wrong with an image that was installed before, by what was kept of it.
    pub fn again(&self, installed: &Checked, context: &Context) -> Result<Vec<Finding>, Error> {
        if self.key.is_empty() && self.require.is_empty() && self.policy.is_none() {
            return Ok(Vec::new());
        }
        let reference = context.image(&format!("{}@{}", installed.source, installed.digest))?;
        let demands = self.demands(&reference, false, context)?;
        let Some((kept, root)) = installed.evidence.read() else {
            let message = "nothing was kept to judge it by: install it again";
            return Ok(vec![Finding::new(installed.digest.to_string(), "evidence-missing", message)]);
        };
        trust::judge(&kept, &root, &demands, now())
    }
}

impl RequiredChoice {
    fn required(self) -> Required {
        match self {
            Self::Sbom => Required::Sbom,
            Self::Provenance => Required::Provenance,
            Self::Signature => Required::Signature,
        }
    }
}

/// Under which names an image is judged: where neither tag nor digest is said, under each tag that is taken for it then. So no
/// tag of which a policy says more is passed by not saying it.
fn names(reference: &Reference, context: &Context) -> Result<Vec<Reference>, Error> {
    if reference.tag().is_some() || reference.digest().is_some() {
        return Ok(vec![reference.clone()]);
    }
    let source = context.stores().source(reference)?;
    let tags = match source.resolve(&Selector::Only) {
        Ok(root) => meant_tags(source.as_ref(), &root)?,
        // Whoever goes on finds none either, and says so.
        Err(_) if source.repository().is_none() => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let named: Vec<Reference> = tags.iter().filter_map(|tag| reference.with_tag(tag)).collect();
    Ok(if named.is_empty() { vec![reference.clone()] } else { named })
}

/// The policy of the user, where there is one.
fn users_policy(context: &Context) -> Option<PathBuf> {
    let home = || context.env.path("HOME").map(|home| home.join(".config"));
    let dir = context.env.path("XDG_CONFIG_HOME").filter(|dir| dir.is_absolute()).or_else(home)?.join("cargo-plugin-build");
    // One that cannot be read is an error, and not none.
    ["policy.json", "policy.toml"].into_iter().map(|name| dir.join(name)).find(|path| path.symlink_metadata().is_ok())
}

/// Prints what was found.
pub fn print(findings: &[Finding], context: &Context) {
    for finding in findings {
        context.found("finding", finding, (&finding.object, &finding.message, finding.rule));
    }
}
