//! Whether an artifact can start where it is going.
//!
//! The kernel says only "no such file or directory" when the loader that a program names is missing, long after the image
//! was built. So the question is asked before packing.

use std::path::{Path, PathBuf};

use super::{Executable, Format, inspect};
use crate::build::inspect::ExecutableError;
use plugin_oci::failure::Failure;
use plugin_oci::values::platform::Platform;

/// Fails unless format and machine are the platform's and, where `must_be_static`, it needs no loader and no libraries.
pub fn check(path: &Path, platform: &Platform, must_be_static: bool) -> Result<Executable, ExecutableError> {
    let executable = inspect(path)?;
    let wanted = Format::of_os(&platform.os);
    if executable.format != wanted || executable.architecture != platform.architecture {
        return Err(StartError::Machine {
            path: path.to_owned(),
            found: format!("{} for {}", executable.format.as_str(), executable.architecture),
            wanted: format!("{} for {}", wanted.as_str(), platform.architecture),
            platform: Box::new(platform.clone()),
        }
        .into());
    }
    if must_be_static && executable.format == Format::Elf && !executable.is_static() {
        return Err(StartError::Dynamic {
            path: path.to_owned(),
            interpreter: executable.interpreter,
            needed: executable.needed,
        }
        .into());
    }
    Ok(executable)
}

/// Why an artifact cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another format or machine.
    #[error("{} is {found}, and platform {platform} wants {wanted}", path.display())]
    Machine { path: PathBuf, found: String, wanted: String, platform: Box<Platform> },
    /// It needs a loader that is not in the image.
    #[error("{} cannot start in an image without a base: {}", path.display(), needs(interpreter.as_deref(), needed))]
    Dynamic { path: PathBuf, interpreter: Option<String>, needed: Vec<String> },
}

fn needs(interpreter: Option<&str>, needed: &[String]) -> String {
    let loader = interpreter.map(|interpreter| format!("the loader {interpreter}"));
    let libraries = (!needed.is_empty()).then(|| needed.join(", "));
    let things: Vec<String> = loader.into_iter().chain(libraries).collect();
    format!("it needs {}", things.join(" and "))
}

impl Failure for StartError {}
