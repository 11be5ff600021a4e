//! Whether the program of an image can start on its base, asked before anything is written.

use super::base::ResolvedBase;
use crate::build::Compiled;
use crate::build::plan::ImagePlan;
use crate::build::start::{self, CannotStart, Command, Layer, Planned, Root};
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::progress::Progress;
use plugin_oci::values::compression::Compression;

/// Refuses a dynamic program whose loader, libraries or versions are not in the base and what is packed on it. A static
/// one needs nothing, and costs no look into the base.
pub fn check(
    image: &ImagePlan,
    artifacts: &[Compiled<'_>],
    base: Option<&ResolvedBase>,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let Some(base) = base else { return Ok(()) };
    for ((target, compiled), platform) in image.targets.iter().zip(artifacts).zip(&base.platforms) {
        let executable = &compiled.checked.executable;
        if target.platform.os != "linux" || executable.interpreter.is_none() {
            continue;
        }
        let mut layers = Vec::new();
        for (position, descriptor) in platform.layers.iter().enumerate() {
            let compression = Compression::of_media_type(&descriptor.media_type).ok_or_else(|| {
                Complaint::failed(format!("base `{}` has a layer of type `{}`", base.name, descriptor.media_type))
            })?;
            let diff_id = platform.config.diff_ids().get(position).cloned();
            layers.push(Layer::Stored { source: base.source.as_ref(), descriptor, compression, diff_id });
        }
        layers.extend(planned(image, compiled));
        let program = (target.place.path.clone(), target.place.mode, Planned::Disk(compiled.artifact.path.clone()));
        layers.push(Layer::Planned(vec![program]));
        let mut command = Command::of(&platform.config);
        command.line.clone_from(&target.place.entrypoint);
        command.env.extend(image.execution.env.clone());
        command.dir = image.execution.workdir.clone().unwrap_or(command.dir);
        let mut root = match Root::of(layers) {
            Ok(root) => root,
            Err(error) => {
                progress.warn(format!("{} on base `{}`: {error}", image.name, base.name), None);
                continue;
            }
        };
        let lacks = start::start(&mut root, &command, &target.platform.architecture)?.lacks;
        if !lacks.is_empty() {
            return Err(CannotStart { program: compiled.artifact.path.display().to_string(), lacks }.into());
        }
    }
    Ok(())
}

/// What is packed below the program: the user's files, and what a dynamic program brings.
fn planned(image: &ImagePlan, compiled: &Compiled<'_>) -> Vec<Layer<'static>> {
    let files = image.files.iter().map(|file| match &file.link {
        Some(target) => (file.path.clone(), 0o777, Planned::Link(target.clone())),
        None => (file.path.clone(), file.mode, Planned::Disk(file.source.clone())),
    });
    let bundled = compiled.checked.bundled.iter();
    let bundled = bundled.map(|file| (file.path.clone(), file.mode, Planned::Disk(file.source.clone())));
    let lists: [Vec<_>; 2] = [files.collect(), bundled.collect()];
    lists.into_iter().filter(|list| !list.is_empty()).map(Layer::Planned).collect()
}
