//! `ls`: what a store holds.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::default_layout::DefaultLayoutArgs;
use super::publish::published;
use plugin_oci::failure::Error;
use plugin_oci::listing::{self, Listed};
use plugin_oci::stores::Selector;
use plugin_oci::stores::bucket::Location;
use plugin_oci::values::text::field;
use plugin_oci::values::text::human_size;

/// Flags of `ls`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The store: `oci:DIR`, `oci-archive:FILE` or `HOST/REPO`, with a tag or digest only that image; of `HOST/`, `HOST:PORT` or
    /// `HOST/PREFIX/` the repositories are listed, of `s3://BUCKET/PREFIX` or a directory that was published all images
    #[arg(value_name = "STORE")]
    image: Option<String>,
    #[command(flatten)]
    default: DefaultLayoutArgs,
}

/// Lists what is in a store.
pub fn list(args: &ListArgs, context: &Context) -> Result<ExitCode, Error> {
    let reference = match &args.image {
        None => args.default.layout(context)?,
        Some(store) => {
            if let Some(location) = published(store, context)? {
                return bucket(&location, context);
            }
            match (context.image(store), registry(store)) {
                (Err(_), Some((host, prefix))) => return repositories(host, prefix, context),
                (reference, _) => reference?,
            }
        }
    };
    let source = context.stores().source(&reference)?;
    let listed = listing::list(source.as_ref(), &Selector::of(reference.tag(), reference.digest()))?;
    print(&listed, context);
    Ok(ExitCode::SUCCESS)
}

fn print(listed: &[Listed], context: &Context) {
    let width = listed.iter().map(|entry| field(&entry.tag).chars().count()).max().unwrap_or(0).min(WIDEST);
    for entry in listed {
        context.result("image", entry, || line(entry, width));
    }
}

/// The images of every repository, each tag behind the name of its own.
fn bucket(location: &Location, context: &Context) -> Result<ExitCode, Error> {
    let bucket = context.stores().bucket(location)?;
    let mut all = Vec::new();
    for repository in bucket.repositories()? {
        let mut listed = listing::list(&bucket.repository(&repository), &Selector::Only)?;
        for entry in &mut listed {
            entry.tag = format!("{repository}:{}", entry.tag);
        }
        all.extend(listed);
    }
    print(&all, context);
    Ok(ExitCode::SUCCESS)
}

/// The host, and the beginning of the repositories' names, where a registry is named and no repository of it.
fn registry(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("docker://").or_else(|| (text.ends_with('/') || text.contains(':')).then_some(text))?;
    let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let name = host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name);
    let is_host = name != host || !name.contains(':') && (name.contains('.') || name == "localhost");
    (is_host && (prefix.is_empty() || prefix.ends_with('/'))).then_some((host, prefix))
}

fn repositories(host: &str, prefix: &str, context: &Context) -> Result<ExitCode, Error> {
    let found = context.stores().client().catalogue(host)?;
    for name in found.iter().filter(|name| name.starts_with(prefix)) {
        let repository = Repository { repository: format!("{host}/{name}") };
        context.result("repository", &repository, || repository.repository.clone());
    }
    Ok(ExitCode::SUCCESS)
}

/// A repository of a registry.
#[derive(Serialize)]
struct Repository {
    /// `HOST/REPO`.
    repository: String,
}

/// As many characters as a tag may have (distribution-spec); a layout may name an image by more.
const WIDEST: usize = 128;

fn line(entry: &Listed, width: usize) -> String {
    let platforms: Vec<&str> = entry.platforms.iter().map(|on| on.platform.as_str()).collect();
    let platforms = if platforms.is_empty() { "-".to_owned() } else { platforms.join(",") };
    let tag = if entry.tag.is_empty() { "-" } else { &entry.tag };
    let (tag, platforms) = (field(tag), field(&platforms));
    let mut line = format!("{tag:width$}  {}  {:>10}  {platforms}", entry.digest, human_size(entry.size));
    for attachment in &entry.attachments {
        line.push_str("  +");
        line.push_str(&field(&attachment.artifact_type));
    }
    line
}
