//! `inspect`: show what an image is made of.

use std::process::ExitCode;

use clap::Args;

use super::context::Context;
use crate::images::inspect::{self, File, InspectOptions, Inspected, InspectedLayer, InspectedPlatform};
use plugin_oci::failure::Error;
use plugin_oci::stores::Selector;
use plugin_oci::values::platform::Platform;
use plugin_oci::values::text::field;
use plugin_oci::values::text::human_size;

/// Flags of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The image [default: the layout that build writes]
    image: Option<String>,
    /// Only this platform
    #[arg(long, value_name = "PLATFORM", value_parser = super::build_flags::parse_platform)]
    platform: Option<Platform>,
    /// Do not read the layers: no list of files
    #[arg(long)]
    no_files: bool,
    #[command(flatten)]
    default: super::default_layout::DefaultLayoutArgs,
}

/// Shows an image.
pub fn inspect(args: &InspectArgs, context: &Context) -> Result<ExitCode, Error> {
    let reference = args.default.image_or_default(args.image.as_deref(), context)?;
    let source = context.stores().source(&reference)?;
    let selector = Selector::of(reference.tag(), reference.digest());
    let options = InspectOptions { selector, platform: args.platform.clone(), files: !args.no_files };
    let inspected = inspect::inspect(source.as_ref(), &options)?;
    context.result("inspected", &inspected, || render(&reference.to_string(), &inspected));
    Ok(ExitCode::SUCCESS)
}

fn render(name: &str, image: &Inspected) -> String {
    let mut lines =
        vec![name.to_owned(), format!("  digest      {}", image.digest), format!("  media type  {}", field(&image.media_type))];
    lines.extend(image.annotations.iter().map(|(key, value)| format!("  annotation  {} = {}", field(key), field(value))));
    for attachment in &image.attachments {
        let size = human_size(attachment.size);
        lines.push(format!("  attachment  {} {} ({size})", field(&attachment.artifact_type), attachment.digest));
    }
    for platform in &image.platforms {
        render_platform(platform, &mut lines);
    }
    lines.join("\n")
}

fn render_platform(platform: &InspectedPlatform, lines: &mut Vec<String>) {
    lines.push(String::new());
    lines.push(field(platform.platform.as_deref().unwrap_or("(no platform)")).into_owned());
    lines.push(format!("  manifest    {}", platform.manifest));
    lines.extend(platform.artifact_type.iter().map(|artifact_type| format!("  artifact    {}", field(artifact_type))));
    if let Some(config) = &platform.config {
        let execution = &config["config"];
        for (label, key) in [("entrypoint", "Entrypoint"), ("args", "Cmd"), ("user", "User"), ("workdir", "WorkingDir")] {
            if !execution[key].is_null() {
                lines.push(format!("  {label:<10}  {}", field(&execution[key].to_string())));
            }
        }
        for pair in execution["Env"].as_array().into_iter().flatten().filter_map(|pair| pair.as_str()) {
            lines.push(format!("  env         {}", field(pair)));
        }
        for (key, value) in execution["Labels"].as_object().into_iter().flatten() {
            lines.push(format!("  label       {} = {}", field(key), field(value.as_str().unwrap_or_default())));
        }
        for key in ["imports", "exports"] {
            let names = config["component"][key].as_array().into_iter().flatten().filter_map(|name| name.as_str());
            lines.extend(names.map(|name| format!("  {key:<10}  {}", field(name))));
        }
        for (label, key) in [("port", "ExposedPorts"), ("volume", "Volumes")] {
            let names = execution[key].as_object().into_iter().flat_map(|set| set.keys());
            lines.extend(names.map(|name| format!("  {label:<10}  {}", field(name))));
        }
        if let Some(signal) = execution["StopSignal"].as_str() {
            lines.push(format!("  stop signal {}", field(signal)));
        }
        lines.push(format!("  created     {}", field(config["created"].as_str().unwrap_or("-"))));
    }
    if let Some(program) = &platform.program {
        lines.push(format!("  program     {}  sha256:{}", field(&program.path), program.sha256));
    }
    platform.layers.iter().for_each(|layer| render_layer(layer, lines));
}

fn render_layer(layer: &InspectedLayer, lines: &mut Vec<String>) {
    lines.push(format!("  layer       {}  {}  {}", layer.digest, human_size(layer.size), field(&layer.media_type)));
    for file in layer.files.iter().flatten() {
        lines.push(render_file(file));
    }
    if layer.more_files > 0 {
        lines.push(format!("    ... {} more entries", layer.more_files));
    }
    lines.extend(layer.problem.iter().map(|problem| format!("    problem     {}", field(problem))));
}

fn render_file(file: &File) -> String {
    let target = file.target.as_ref().map(|target| format!(" -> {}", field(target))).unwrap_or_default();
    let slash = if file.kind == "directory" { "/" } else { "" };
    let mark = if matches!(file.kind, "whiteout" | "opaque") { format!(" ({})", file.kind) } else { String::new() };
    let problem = file.problem.as_ref().map(|problem| format!("  [{}]", field(problem))).unwrap_or_default();
    format!("    {} {:>10}  {}{slash}{target}{mark}{problem}", file.mode, human_size(file.size), field(&file.path))
}
