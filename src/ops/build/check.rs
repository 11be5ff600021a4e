//! What is looked at between compiling and packing: that each artifact can start where it goes, and that no path of this
//! machine is in it.

use crate::compile::Artifact;
use crate::environment::Environment;
use crate::executable::leak::{self, Leak, Origin, Pattern};
use crate::executable::{Executable, start};
use crate::failure::{Complaint, Error};
use crate::fs::FileError;
use crate::plan::{ImagePlan, Plan};
use crate::progress::{Event, Progress};
use crate::toolchain::{cargo_home, home};

/// An artifact and what was seen in it.
pub struct Checked<'a> {
    /// The artifact.
    pub artifact: &'a Artifact,
    /// What it is.
    pub executable: Executable,
}

/// Checks the artifacts of one image, in the order of its targets. With `strict`, a path of this machine is an error.
pub struct Check<'a> {
    plan: &'a Plan,
    patterns: Vec<Pattern>,
    hidden: Vec<String>,
    strict: bool,
    progress: &'a dyn Progress,
}

impl<'a> Check<'a> {
    /// Prepares the paths to look for.
    pub fn new(plan: &'a Plan, env: &Environment, strict: bool, progress: &'a dyn Progress) -> Self {
        let paths = [
            (Origin::Target, Some(plan.target_directory.clone())),
            (Origin::Target, Some(plan.build_directory.clone())),
            (Origin::Workspace, Some(plan.workspace_root.clone())),
            (Origin::CargoHome, cargo_home(env)),
            (Origin::Home, home(env)),
        ];
        let patterns = paths.iter().filter_map(|(origin, path)| Pattern::of(*origin, path.as_deref()?)).collect();
        let hidden = plan.remaps.iter().map(|remap| remap.to.clone()).collect();
        Self { plan, patterns, hidden, strict, progress }
    }

    /// Checks every artifact of an image.
    pub fn image(&self, image: &ImagePlan, artifacts: &'a [Artifact]) -> Result<Vec<Checked<'a>>, Error> {
        let mut checked = Vec::new();
        for target in &image.targets {
            let of_target = |artifact: &&Artifact| artifact.package == image.package && artifact.target == target.target;
            let Some(artifact) = artifacts.iter().find(of_target) else {
                return Err(Complaint::failed(format!("nothing was compiled for {}", target.target)).into());
            };
            let executable = start::check(&artifact.path, &target.platform, target.must_be_static)?;
            if let Some(glibc) = &executable.glibc {
                let text = format!("{} for {} needs glibc {glibc} or later", image.name, target.platform);
                self.progress.event(Event::Note { text });
            }
            self.leaks(artifact)?;
            checked.push(Checked { artifact, executable });
        }
        Ok(checked)
    }

    fn leaks(&self, artifact: &Artifact) -> Result<(), Error> {
        let path = &artifact.path;
        for leak in leak::scan(path, &self.patterns, &self.hidden).map_err(FileError::at("read", path))? {
            let shown = path.strip_prefix(&self.plan.target_directory).unwrap_or(path).display();
            let text = format!("{shown} holds a path of this machine: `{}` at offset {}{}", leak.path, leak.offset, more(&leak));
            let hint = format!("it usually comes from {}", leak.cause());
            if self.strict && leak.is_grave() {
                return Err(Complaint::failed(text).with_hint(hint).into());
            }
            self.progress.warn(text, Some(hint));
        }
        Ok(())
    }
}

fn more(leak: &Leak) -> String {
    if leak.count > 1 { format!(", and {} more", leak.count - 1) } else { String::new() }
}
