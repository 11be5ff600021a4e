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

/// What every object within an object is: any of the fields, each as it is everywhere. No field has this name.
const NESTED: &str = "nested object";

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
    let objects: Vec<Value> = table("reason").map(words_of_row).flat_map(objects_of_row).collect();
    json!({ "title": "An object of --message-format json", "oneOf": objects, "$defs": definitions() })
}

fn metadata() -> Value {
    let mut object = results();
    let definitions = object.as_object_mut().and_then(|object| object.remove("$defs"));
    let properties = json!({ "schema": { "const": SCHEMA }, "results": { "type": "array", "items": object } });
    json!({
        "title": "The document of --metadata-file", "type": "object", "properties": properties, "required": ["results", "schema"],
        "$defs": definitions,
    })
}

/// The schemas of the objects in a row: reasons, verbs, fields.
fn objects_of_row(cells: Vec<Vec<String>>) -> Vec<Value> {
    let fields = cells.get(2).cloned().unwrap_or_default();
    cells.into_iter().next().unwrap_or_default().iter().map(|reason| object(reason, &fields)).collect()
}

fn object(reason: &str, fields: &[String]) -> Value {
    let mut properties: Map<String, Value> = fields.iter().map(|field| (field.clone(), reference(field))).collect();
    properties.insert("reason".to_owned(), json!({ "const": reason }));
    properties.insert("schema".to_owned(), json!({ "const": SCHEMA }));
    let mut schema = json!({ "type": "object", "properties": properties, "required": ["reason", "schema"] });
    // An event has what belongs to it, which the page does not list.
    if reason != "progress" {
        schema["additionalProperties"] = false.into();
    }
    schema
}

/// What each field is, in whatever object and at whatever depth: one type and one meaning for one name.
fn definitions() -> Value {
    let rows = table("field").filter_map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [fields, kind, meaning] = cells[..] else { return None };
        Some((words(fields), kind, meaning.replace('`', "")))
    });
    let mut definitions = Map::new();
    for (fields, kind, meaning) in rows {
        for field in fields {
            let mut definition = typed(kind);
            definition["description"] = meaning.clone().into();
            definitions.insert(field, definition);
        }
    }
    let known: Map<String, Value> = definitions.keys().map(|field| (field.clone(), reference(field))).collect();
    definitions.insert(NESTED.to_owned(), json!({ "type": ["object", "null"], "properties": known }));
    definitions.into()
}

fn reference(field: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{}", field.replace(' ', "%20")) })
}

/// The words for types of the page, as a schema; what has nothing to say is null.
fn typed(kind: &str) -> Value {
    if let Some(items) = kind.strip_prefix("list of ").and_then(|items| items.strip_suffix('s')) {
        return json!({ "type": ["array", "null"], "items": typed(items) });
    }
    match kind {
        "digest" => json!({ "type": ["string", "null"], "pattern": "^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$" }),
        "number" => json!({ "type": ["integer", "null"], "minimum": 0 }),
        "yes or no" => json!({ "type": ["boolean", "null"] }),
        "object" => reference(NESTED),
        "anything" => json!({}),
        _ => json!({ "type": ["string", "null"] }),
    }
}

/// The rows of the page's table whose first column has this title.
fn table(title: &str) -> impl Iterator<Item = &'static str> {
    let beginning = format!("| {title} |");
    let rows = RESULTS.lines().skip_while(move |line| !line.starts_with(&beginning)).skip(2);
    rows.take_while(|line| line.starts_with('|'))
}

fn words_of_row(row: &str) -> Vec<Vec<String>> {
    row.trim_matches('|').split(" | ").map(words).collect()
}

/// What stands in backquotes.
fn words(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
