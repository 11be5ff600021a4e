//! `schema`: JSON schemas of the configuration and of what is printed, for editors and for programs.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::context::Context;
use super::output::SCHEMA;
use crate::build::manifest::config::Config;

/// The page that lists every object with its fields. What it says is what the schema says.
const RESULTS: &str = include_str!("../../docs/src/reference/json.md");
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Fields of one type wherever they appear.
const STRINGS: [&str; 13] = [
    "artifact_type",
    "digest",
    "host",
    "image",
    "kind",
    "media_type",
    "message",
    "name",
    "path",
    "rule",
    "subject",
    "summary",
    "template",
];

/// Flags of `schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Of what
    #[arg(value_enum, value_name = "WHAT")]
    of: Of,
}

/// What has a schema.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Of {
    /// The table `[package.metadata.plugin-build]`
    Configuration,
    /// A Cargo.toml with that table, for editors
    Manifest,
    /// Each object that `--message-format json` prints
    Results,
    /// The document that `--metadata-file` writes
    Metadata,
}

/// Prints a schema.
pub fn print(args: &SchemaArgs, context: &Context) -> ExitCode {
    let schema = match args.of {
        Of::Configuration => configuration(),
        Of::Manifest => manifest(),
        Of::Results => with_dialect(results()),
        Of::Metadata => with_dialect(metadata()),
    };
    // JSON for people is JSON all the same.
    context.print_bytes(format!("{schema:#}\n").as_bytes());
    ExitCode::SUCCESS
}

fn with_dialect(mut schema: Value) -> Value {
    schema["$schema"] = DIALECT.into();
    schema
}

fn configuration() -> Value {
    Config::schema().to_value()
}

/// cargo's own schema, and ours where it allows anything.
fn manifest() -> Value {
    let mut table = configuration();
    let definitions = table.as_object_mut().and_then(|table| table.remove("$defs")).unwrap_or_else(|| json!({}));
    let within = json!({ "type": "object", "properties": { "metadata": {
        "type": "object", "properties": { "plugin-build": { "$ref": "#/$defs/plugin-build" } },
    } } });
    let mut all = json!({
        "title": "Cargo.toml of a plugin",
        "allOf": [{ "$ref": "https://json.schemastore.org/cargo.json" }],
        "properties": { "package": within, "workspace": within },
        "$defs": definitions,
    });
    all["$defs"]["plugin-build"] = table;
    with_dialect(all)
}

fn results() -> Value {
    let objects: Vec<Value> = rows().into_iter().map(|(reason, fields)| object(&reason, &fields)).collect();
    json!({ "title": "An object of --message-format json", "oneOf": objects })
}

fn metadata() -> Value {
    let properties = json!({ "schema": { "const": SCHEMA }, "results": { "type": "array", "items": results() } });
    json!({ "title": "The document of --metadata-file", "type": "object", "properties": properties, "required": ["results", "schema"] })
}

fn object(reason: &str, fields: &[String]) -> Value {
    let mut properties = Map::new();
    properties.insert("reason".to_owned(), json!({ "const": reason }));
    properties.insert("schema".to_owned(), json!({ "const": SCHEMA }));
    for field in fields {
        let kind = if STRINGS.contains(&field.as_str()) { json!({ "type": ["string", "null"] }) } else { json!(true) };
        properties.insert(field.clone(), kind);
    }
    let mut schema = json!({ "type": "object", "properties": properties, "required": ["reason", "schema"] });
    // An event has what belongs to it, which the page does not list.
    if reason != "progress" {
        schema["additionalProperties"] = false.into();
    }
    schema
}

/// Reasons and their fields, from the page's table.
fn rows() -> Vec<(String, Vec<String>)> {
    let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let table = RESULTS.lines().skip_while(|line| !line.starts_with("| reason |")).skip(2);
    let rows = table.take_while(|line| line.starts_with('|')).map(|row| {
        let cell = |number| row.trim_matches('|').split(" | ").nth(number).map(words).unwrap_or_default();
        (cell(0), cell(2))
    });
    rows.flat_map(|(reasons, fields)| reasons.into_iter().map(move |reason| (reason, fields.clone()))).collect()
}
