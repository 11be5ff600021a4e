//! Running an executable plugin: it takes the place of this process, so that signals, terminal and exit code are its own.
//!
//! What the image's configuration says is kept as far as a program outside a container can have it: entrypoint and
//! arguments (those of the user replace `Cmd`), `Env` over the caller's environment, `WorkingDir` below the unpacked root.
//! `User` is not: who runs it is who started it. Interpreter, loader and libraries are the image's: `loader`.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use super::{RunError, command_of, loader};
use crate::build::start::PATH;
use crate::build::start::Started;
use plugin_oci::documents::Config;
use plugin_oci::failure::Error;

/// A program that can be started.
#[derive(Debug)]
pub struct Program {
    /// What is started: the program, or what starts it and the words before it.
    path: PathBuf,
    before: Vec<OsString>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    dir: PathBuf,
    /// Whether the image's own loader loads its libraries.
    is_dynamic: bool,
}

impl Program {
    pub(super) fn new(root: &Path, config: &Config, args: &[String]) -> Result<Self, RunError> {
        let (mut line, cmd) = command_of(config);
        line.extend(if args.is_empty() { cmd } else { args.to_vec() });
        let mut words = line.into_iter();
        let program = words.next().unwrap_or_default();
        let inner = config.spec().config().as_ref();
        let env: Vec<(String, String)> = inner
            .and_then(|inner| inner.env().clone())
            .unwrap_or_default()
            .iter()
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let workdir = inner.and_then(|inner| inner.working_dir().clone()).unwrap_or_default();
        let dir = below(root, Path::new(&workdir));
        let path = find(root, &dir, &program, &env)?;
        Ok(Self { path, before: Vec::new(), args: words.collect(), env, dir, is_dynamic: false })
    }

    /// Keeps to what the image has: a script's interpreter, the loader and the libraries.
    pub(super) fn within(mut self, root: &Path, started: &Started) -> Result<Self, Error> {
        let name = self.path.display().to_string();
        let Some(program) = started.program.as_ref().filter(|_| started.loader.is_some() || !started.scripts.is_empty()) else {
            return Ok(self);
        };
        if !started.scripts.is_empty() {
            self.path = root.join(program);
        }
        for (given, script) in started.scripts.iter().rev() {
            self.before.extend(given.iter().map(OsString::from));
            self.before.push(root.join(script).into());
        }
        if let Some(mut words) = loader::words(root, started, &self.path, &name)? {
            self.is_dynamic = true;
            self.path = PathBuf::from(words.remove(0));
            words.append(&mut self.before);
            self.before = words;
            self.env.retain(|(key, _)| !loader::NOT_KEPT.contains(&key.as_str()));
        }
        Ok(self)
    }

    /// Replaces this process. Returns only when that failed.
    #[cfg(unix)]
    pub fn exec(self) -> RunError {
        let source = std::os::unix::process::CommandExt::exec(&mut self.command());
        RunError::Exec { path: self.path, source }
    }

    /// Runs it to its end; its exit code.
    #[cfg(not(unix))]
    pub fn wait(self) -> Result<i32, RunError> {
        let status = self.command().status();
        let status = status.map_err(|source| RunError::Exec { path: self.path.clone(), source })?;
        Ok(status.code().unwrap_or(1))
    }

    /// What is started, for people.
    pub fn describe(&self) -> String {
        let before = self.before.iter().map(|word| word.to_string_lossy().into_owned());
        let words = std::iter::once(self.path.display().to_string()).chain(before).chain(self.args.iter().cloned());
        let whose = if self.is_dynamic { ", with the loader and libraries of the image" } else { "" };
        format!("{}{whose}", words.collect::<Vec<_>>().join(" "))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        if !self.before.is_empty() {
            for name in loader::NOT_KEPT {
                command.env_remove(name);
            }
        }
        command.args(&self.before).args(&self.args).envs(self.env.iter().cloned()).current_dir(&self.dir);
        command
    }
}

/// A path of the image as one of this machine; `..` goes no higher than the root.
fn below(root: &Path, path: &Path) -> PathBuf {
    let mut below = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => below.push(name),
            Component::ParentDir => drop(below.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    root.join(below)
}

/// Finds a program as a container runtime does: a path as it is, a bare name in the image's `PATH`.
fn find(root: &Path, dir: &Path, program: &str, env: &[(String, String)]) -> Result<PathBuf, RunError> {
    let candidates: Vec<PathBuf> = if program.starts_with('/') {
        vec![below(root, Path::new(program))]
    } else if program.contains('/') {
        let inside = dir.strip_prefix(root).unwrap_or(Path::new("")).join(program);
        vec![below(root, &inside)]
    } else {
        let path = env.iter().rev().find(|(key, _)| key == "PATH").map_or(PATH, |(_, value)| value.as_str());
        path.split(':').map(|folder| below(root, &Path::new(folder).join(program))).collect()
    };
    let missing = || RunError::NoProgram { program: program.to_owned() };
    let found = candidates.into_iter().find(|path| path.symlink_metadata().is_ok()).ok_or_else(missing)?;
    // A link is followed on this machine, where it must not lead to this machine's own programs.
    let (target, root) = (found.canonicalize().map_err(|_| missing())?, root.canonicalize().map_err(|_| missing())?);
    if !target.starts_with(&root) {
        return Err(RunError::Outside { program: program.to_owned(), target });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn image() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for path in ["greeter", "usr/bin/tool", "app/run"] {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        root
    }

    fn program(root: &Path, inner: &serde_json::Value, args: &[&str]) -> Result<Program, RunError> {
        let rootfs = json!({ "type": "layers", "diff_ids": [] });
        let document = json!({ "architecture": "amd64", "os": "linux", "rootfs": rootfs, "config": inner });
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        Program::new(root, &Config::from_value(document).unwrap(), &args)
    }

    #[test]
    fn users_arguments_replace_cmd_and_keep_the_entrypoint() {
        let root = image();
        let inner = json!({ "Entrypoint": ["/greeter", "-v"], "Cmd": ["a"], "Env": ["X=1=2"] });
        let found = program(root.path(), &inner, &[]).unwrap();
        assert_eq!((found.path, found.args), (root.path().join("greeter"), vec!["-v".to_owned(), "a".to_owned()]));
        assert_eq!(found.env, [("X".to_owned(), "1=2".to_owned())]);
        assert_eq!(program(root.path(), &inner, &["b", "c"]).unwrap().args, ["-v", "b", "c"]);
        assert_eq!(program(root.path(), &json!({ "Cmd": ["a"] }), &["/greeter"]).unwrap().path, root.path().join("greeter"));
    }

    #[test]
    fn programs_are_found_as_in_a_container() {
        let root = image();
        let path = |inner| program(root.path(), &inner, &[]).map(|found| found.path);
        assert_eq!(path(json!({ "Entrypoint": ["tool"] })).unwrap(), root.path().join("usr/bin/tool"));
        assert_eq!(path(json!({ "Entrypoint": ["./run"], "WorkingDir": "/app" })).unwrap(), root.path().join("app/run"));
        assert_eq!(path(json!({ "Entrypoint": ["../../greeter"], "WorkingDir": "/app" })).unwrap(), root.path().join("greeter"));
        assert!(matches!(path(json!({ "Entrypoint": ["tool"], "Env": ["PATH=/app"] })), Err(RunError::NoProgram { .. })));
    }

    #[test]
    #[cfg(unix)]
    fn a_link_to_a_program_of_this_machine_is_refused() {
        let root = image();
        std::os::unix::fs::symlink("/bin/sh", root.path().join("sh")).unwrap();
        let error = program(root.path(), &json!({ "Entrypoint": ["/sh"] }), &[]).unwrap_err();
        assert!(matches!(error, RunError::Outside { .. }), "{error}");
    }
}
