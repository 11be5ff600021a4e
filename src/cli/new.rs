//! `new` and `init`: a package from a template.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::context::Context;
use crate::templates::TEMPLATES;
use crate::templates::new::{self, NewOptions};
use plugin_oci::failure::{Complaint, Error};

/// Flags of `new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// The directory to make
    #[arg(required_unless_present = "list")]
    path: Option<PathBuf>,
    #[command(flatten)]
    template: TemplateArgs,
}

/// Flags of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The directory to fill; files in it stay as they are
    #[arg(default_value = ".")]
    path: PathBuf,
    #[command(flatten)]
    template: TemplateArgs,
}

#[derive(Debug, Args)]
struct TemplateArgs {
    #[arg(short, long, value_name = "TEMPLATE", default_value = TEMPLATES[0].name, help = templates())]
    template: String,
    /// The package's name; the directory's where absent
    #[arg(long)]
    name: Option<String>,
    /// List the templates
    #[arg(long)]
    list: bool,
}

fn templates() -> String {
    let names: Vec<&str> = TEMPLATES.iter().map(|template| template.name).collect();
    format!("The template to start from: {}", names.join(", "))
}

/// Makes a directory with a package in it.
pub fn new(args: NewArgs, context: &Context) -> Result<ExitCode, Error> {
    if args.template.list {
        return Ok(list(context));
    }
    let path = args.path.ok_or_else(|| Complaint::usage("a directory is needed"))?;
    make(&path, args.template, false, context)
}

/// Makes a package in a directory that may hold other files.
pub fn init(args: InitArgs, context: &Context) -> Result<ExitCode, Error> {
    if args.template.list {
        return Ok(list(context));
    }
    make(&args.path, args.template, true, context)
}

fn make(path: &Path, args: TemplateArgs, into_existing: bool, context: &Context) -> Result<ExitCode, Error> {
    // `.` and `..` have no name of their own; what they lead to has.
    let absolute = context.path(path);
    let path = absolute.canonicalize().unwrap_or(absolute);
    let options = NewOptions { path, template: args.template, name: args.name, into_existing };
    let report = new::new(&options, context.progress())?;
    context.result("plugin-created", &report, || report.path.display().to_string());
    Ok(ExitCode::SUCCESS)
}

fn list(context: &Context) -> ExitCode {
    let width = TEMPLATES.iter().map(|template| template.name.len()).max().unwrap_or(0);
    for listed in new::list() {
        context.result("template", &listed, || format!("{:width$}  {}", listed.name, listed.summary));
    }
    ExitCode::SUCCESS
}
