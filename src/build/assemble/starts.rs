//! Whether the program of an image can start in it, asked before anything is written; and before anything is compiled, as far as
//! that is known then.

use super::base::{ResolvedBase, base_of};
use super::system::{self, Known};
use crate::build::Compiled;
use crate::build::kinds::Kind;
use crate::build::plan::{ImagePlan, TargetPlan};
use crate::build::start::{self, CannotStart, Command, Layer, Planned, Root};
use plugin_oci::documents::image::Base;
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::progress::Progress;
use plugin_oci::values::compression::Compression;

/// A base, and its image of one platform.
type OfPlatform<'a> = Option<(&'a ResolvedBase, &'a Base)>;

/// Refuses what cannot start whatever is compiled: a user that nobody knows, and an entrypoint that no layer holds.
pub fn foresee(image: &ImagePlan, bases: &[ResolvedBase], progress: &dyn Progress) -> Result<(), Error> {
    if image.kind != Kind::Executable {
        return Ok(());
    }
    let names_user = image.execution.user.as_ref().is_some_and(|user| !user.bytes().all(|byte| b"0123456789:".contains(&byte)));
    for (position, target) in image.targets.iter().enumerate() {
        if target.platform.os != "linux" || starts_own(target) && !names_user {
            continue;
        }
        let base = base_of(bases, position);
        let mut layers = of_base(base)?;
        layers.extend(planned(image, &users_of(image, base)?));
        layers.push(Layer::Planned(vec![(target.place.path.clone(), target.place.mode, Planned::Bytes(Vec::new()))]));
        let Some(mut root) = root(layers, image, base, progress) else { continue };
        let command = command(image, target, base);
        let found = start::start(&mut root, &command, &target.platform.architecture)?;
        // Which libraries are bundled is known when it is compiled.
        let rules = ["start-user", "start-program", "start-interpreter"];
        let lacks: Vec<_> = found.lacks.into_iter().filter(|lack| !image.bundle_libs || rules.contains(&lack.rule)).collect();
        if !lacks.is_empty() {
            return Err(CannotStart { program: image.name.clone(), lacks }.into());
        }
    }
    Ok(())
}

/// Whether what is compiled is started by itself.
fn starts_own(target: &TargetPlan) -> bool {
    target.place.entrypoint.first().is_some_and(|program| *program == format!("/{}", target.place.path))
}

/// Refuses a dynamic program whose loader, libraries or versions are not in the base and what is packed on it. A static
/// one needs nothing, and costs no look into the base; and what starts it was seen before ([`foresee`]), but for what is bundled.
pub fn check(
    image: &ImagePlan,
    artifacts: &[Compiled<'_>],
    bases: &[ResolvedBase],
    progress: &dyn Progress,
) -> Result<(), Error> {
    for (position, (target, compiled)) in image.targets.iter().zip(artifacts).enumerate() {
        let base = base_of(bases, position);
        let executable = &compiled.checked.executable;
        let is_foreseen = !image.bundle_libs || starts_own(target);
        let is_known = is_foreseen && (base.is_none() || executable.interpreter.is_none());
        if is_known || target.platform.os != "linux" {
            continue;
        }
        let mut layers = of_base(base)?;
        layers.extend(planned(image, &users_of(image, base)?));
        let bundled = compiled.checked.bundled.iter();
        let bundled: Vec<_> = bundled.map(|file| (file.path.clone(), file.mode, Planned::Disk(file.source.clone()))).collect();
        layers.extend(Some(bundled).filter(|list| !list.is_empty()).map(Layer::Planned));
        let program = (target.place.path.clone(), target.place.mode, Planned::Disk(compiled.artifact.path.clone()));
        layers.push(Layer::Planned(vec![program]));
        let Some(mut root) = root(layers, image, base, progress) else { continue };
        let lacks = start::start(&mut root, &command(image, target, base), &target.platform.architecture)?.lacks;
        if !lacks.is_empty() {
            return Err(CannotStart { program: compiled.artifact.path.display().to_string(), lacks }.into());
        }
    }
    Ok(())
}

/// The users that a base knows, where ours go behind them.
pub fn users_of(image: &ImagePlan, base: OfPlatform<'_>) -> Result<Known, Error> {
    if base.is_none() || image.system.users.is_empty() {
        return Ok(Known::default());
    }
    let root = Root::of(of_base(base)?)?;
    let text = |file: &str| root.content(&format!("/{file}")).map(|text| text.to_vec()).unwrap_or_default();
    Ok(Known { passwd: text(system::PASSWD), group: text(system::GROUP) })
}

fn root<'a>(layers: Vec<Layer<'a>>, image: &ImagePlan, base: OfPlatform<'_>, progress: &dyn Progress) -> Option<Root<'a>> {
    match Root::of(layers) {
        Ok(root) => Some(root),
        Err(error) => {
            let on = base.map(|(base, _)| format!(" on base `{}`", base.name)).unwrap_or_default();
            progress.warn(format!("{}{on}: {error}", image.name), None);
            None
        }
    }
}

/// What a runtime is told: the base's configuration with ours over it.
fn command(image: &ImagePlan, target: &TargetPlan, base: OfPlatform<'_>) -> Command {
    let mut command = base.map(|(_, base)| Command::of(&base.config)).unwrap_or_default();
    command.line.clone_from(&target.place.entrypoint);
    command.env.extend(image.execution.env.clone());
    command.dir = image.execution.workdir.clone().unwrap_or(command.dir);
    command.user = image.execution.user.clone().unwrap_or(command.user);
    command
}

fn of_base(base: OfPlatform<'_>) -> Result<Vec<Layer<'_>>, Error> {
    let Some((base, platform)) = base else { return Ok(Vec::new()) };
    let mut layers = Vec::new();
    for (position, descriptor) in platform.layers.iter().enumerate() {
        let compression = Compression::of_media_type(&descriptor.media_type)
            .ok_or_else(|| Complaint::failed(format!("base `{}` has a layer of type `{}`", base.name, descriptor.media_type)))?;
        let diff_id = platform.config.diff_ids().get(position).cloned();
        layers.push(Layer::Stored { source: base.source.as_ref(), descriptor, compression, diff_id, known: None });
    }
    Ok(layers)
}

/// What is packed below the program: users, and the user's files.
fn planned(image: &ImagePlan, known: &Known) -> Vec<Layer<'static>> {
    let users = system::users(&image.system.users, known).into_iter();
    let users = users.map(|(path, text)| (path, 0o644, Planned::Bytes(text)));
    let files = image.files.iter().map(|file| match &file.link {
        Some(target) => (file.path.clone(), 0o777, Planned::Link(target.clone())),
        None => (file.path.clone(), file.mode, Planned::Disk(file.source.clone())),
    });
    let lists: [Vec<_>; 2] = [users.collect(), files.collect()];
    lists.into_iter().filter(|list| !list.is_empty()).map(Layer::Planned).collect()
}
