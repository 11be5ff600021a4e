//! `sbom` and `provenance`: the documents attached to an image, as they are or for people.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::context::Context;
use crate::images::attached::{self, AbsentError, Attached, Table};
use plugin_oci::failure::Error;
use plugin_oci::stores::{Selector, Source, StoreError, platform_images, select_platform};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::platform::Platform;
use plugin_oci::values::text::field;

/// Flags of `sbom` and of `provenance`.
#[derive(Debug, Args)]
pub struct AttachedArgs {
    /// The image [default: the layout that build writes]
    image: Option<String>,
    /// A table, or the document as it is attached
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    format: Shown,
    /// Only what is attached to the manifest for this platform
    #[arg(long, value_name = "PLATFORM", value_parser = super::build_flags::parse_platform)]
    platform: Option<Platform>,
    #[command(flatten)]
    default: super::default_layout::DefaultLayoutArgs,
}

/// How a document is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Shown {
    #[default]
    Table,
    Json,
}

type Find = fn(&dyn Source, &Digest) -> Result<Vec<Attached>, StoreError>;

/// Shows what an image is made of.
pub fn sbom(args: &AttachedArgs, context: &Context) -> Result<ExitCode, Error> {
    let bill = first(args, "SBOM", attached::bills, context)?;
    if args.format == Shown::Json {
        context.print_bytes(&bill.bytes);
        return Ok(ExitCode::SUCCESS);
    }
    let table = Table::of(&bill);
    context.result("sbom", &table, || render(&table));
    Ok(ExitCode::SUCCESS)
}

/// Shows how an image was built.
pub fn provenance(args: &AttachedArgs, context: &Context) -> Result<ExitCode, Error> {
    let statement = first(args, "provenance", attached::provenances, context)?;
    if args.format == Shown::Json {
        context.print_bytes(&statement.bytes);
    } else {
        let shown = json!({ "digest": statement.digest, "statement": statement.document });
        context.result("provenance", &shown, || render_provenance(&statement.document));
    }
    Ok(ExitCode::SUCCESS)
}

/// The document of a kind; others beside it are told.
fn first(args: &AttachedArgs, what: &'static str, find: Find, context: &Context) -> Result<Attached, Error> {
    let reference = args.default.image_or_default(args.image.as_deref(), context)?;
    let source = context.stores().source(&reference)?;
    let root = source.resolve(&Selector::of(reference.tag(), reference.digest()))?;
    let (mut image, mut found) = (root.digest.clone(), Vec::new());
    if let Some(platform) = &args.platform {
        image = select_platform(source.as_ref(), &root, platform)?.descriptor.digest;
    }
    found.extend(find(source.as_ref(), &image)?);
    // Where images of single platforms were joined, each has its own.
    if found.is_empty() && args.platform.is_none() {
        for platform in platform_images(source.as_ref(), &root)? {
            found.extend(find(source.as_ref(), &platform.descriptor.digest)?);
        }
    }
    let more = found.len().saturating_sub(1);
    if more > 0 {
        let hint = Some("`--platform` chooses one platform's; `inspect` lists what is attached".to_owned());
        context.progress().warn(format!("{more} more documents of this kind are attached to {image}"), hint);
    }
    found.into_iter().next().ok_or_else(|| AbsentError::Attached { what, image }.into())
}

fn render(table: &Table) -> String {
    let label = |part: &attached::Part| format!("{} {}", field(&part.name), field(&part.version));
    let width = table.parts.iter().map(|part| label(part).chars().count()).max().unwrap_or(0).min(60);
    let mut lines: Vec<String> = Vec::new();
    for part in &table.parts {
        let license = if part.license.is_empty() { "-" } else { &part.license };
        lines.push(format!("{:width$}  {:8}  {}", label(part), field(&part.scope), field(license)));
    }
    lines.push(String::new());
    lines.push("licences of what is in the image".to_owned());
    for (license, count) in &table.licenses {
        lines.push(format!("{count:>6}  {}", if license.is_empty() { "none stated".into() } else { field(license) }));
    }
    lines.join("\n")
}

fn render_provenance(statement: &Value) -> String {
    let predicate = &statement["predicate"];
    let definition = &predicate["buildDefinition"];
    let mut lines = Vec::new();
    let mut line = |label: &str, value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), |text| text.lines().next().unwrap_or_default().to_owned());
        if !value.is_null() {
            lines.push(format!("{label:<12}{}", field(&text)));
        }
    };
    line("builder", &predicate["runDetails"]["builder"]["id"]);
    line("build type", &definition["buildType"]);
    let dependencies = definition["resolvedDependencies"].as_array().cloned().unwrap_or_default();
    for dependency in dependencies.iter().filter(|dependency| dependency["name"].is_string()) {
        let name = dependency["name"].as_str().unwrap_or_default();
        let digest = dependency["digest"].as_object().and_then(|digests| digests.values().next()).cloned().unwrap_or_default();
        line(name, &digest);
        if dependency["annotations"]["dirty"] == true {
            line("", &"files differ from this commit".into());
        }
    }
    let internal = &definition["internalParameters"];
    line("sandbox", &internal["sandbox"]);
    line("rustc", &internal["toolchain"]["rustc"]);
    for (_, linker) in internal["toolchain"]["linkers"].as_object().into_iter().flatten() {
        line("linker", &linker["version"]);
        line("libc", &linker["libc"]);
    }
    for (platform, request) in definition["externalParameters"]["requests"].as_object().into_iter().flatten() {
        line("request", &format!("{platform} {request}").into());
    }
    let packages = dependencies.iter().filter(|dependency| dependency["uri"].as_str().is_some_and(|uri| uri.starts_with("pkg:")));
    line("packages", &packages.count().into());
    lines.join("\n")
}
