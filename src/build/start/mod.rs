//! Whether what an image starts can start in the root that its layers make, base and all.
//!
//! The kernel and the loader say "not found" when the image is already in use somewhere. What they would do is done here
//! before that, on the layers ([`root`]), by ld.so(8) and by musl's loader:
//!
//! - the program, as a runtime finds it: by path, in the working directory, or in `PATH`;
//! - a script's interpreter (with `env`, the program behind it), as far as it goes;
//! - the loader (`PT_INTERP`);
//! - that each of these may be executed, and that the user it is to run as has a number;
//! - every library, transitively: `DT_RPATH` of the file and of those that led to it, `LD_LIBRARY_PATH` of the image,
//!   `DT_RUNPATH`, `/etc/ld.so.cache`, the usual directories and the loader's own; a file for another machine is passed over.
//!   `/etc/ld.so.conf` is not the loader's: what it names counts where `ldconfig` has put it into the cache;
//! - with musl instead: `LD_LIBRARY_PATH`, then `DT_RUNPATH` or `DT_RPATH` of the file and of those that led to it, then
//!   `/etc/ld-musl-*.path`, or `/lib`, `/usr/local/lib` and `/usr/lib`; the first file of that name is taken;
//! - every symbol version that a file asks of a library, so also the glibc version.
//!
//! What a program opens by itself while it runs (`dlopen`) cannot be seen. What is neither ELF nor a script is for the kernel,
//! which may have been taught more (`binfmt_misc`), except of files that are yet to be packed.

mod cache;
mod known;
mod libraries;
mod look;
mod own;
pub mod root;

use std::fmt;

use plugin_oci::documents::{Config, Manifest};
use plugin_oci::failure::{Error, Failure};
use plugin_oci::layers::tar::shown;
use plugin_oci::stores::Source;
use plugin_oci::values::compression::Compression;

pub use known::{Known, Listed};
pub use look::Look;
pub use root::{Layer, Planned, Root};

/// Where programs without a path are looked for, when the image does not say.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Scripts that start one another, as many as Linux follows.
const SCRIPTS: usize = 5;

/// What cannot be started without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// The rule in a word.
    pub rule: &'static str,
    /// What lacks, who needs it, and which layer has it.
    pub message: String,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// How an image starts.
#[derive(Clone, Debug, Default)]
pub struct Started {
    /// What lacks; nothing, where it starts.
    pub lacks: Vec<Lack>,
    /// Whether the program itself is not there.
    pub is_absent: bool,
    /// For a dynamic program: its loader in the image, a real path without a leading slash.
    pub loader: Option<String>,
    /// Libraries that it loads: the name it knows them by, and the real path.
    pub libraries: Vec<(String, String)>,
    /// Whether it, or a library, says by an absolute `DT_RPATH` where to look first.
    pub has_fixed_rpath: bool,
    /// What is started in the end, a real path without a leading slash; absent where something lacks.
    pub program: Option<String>,
    /// Scripts on the way there, first the one that was asked for: what its interpreter is given before it, and its real path.
    pub scripts: Vec<(Vec<String>, String)>,
}

/// The layers of an image in a store; `None` where one is no archive.
pub fn layers_of<'a>(source: &'a dyn Source, manifest: &'a Manifest, config: &Config) -> Option<Vec<Layer<'a>>> {
    let layers = manifest.layers.iter().enumerate().map(|(position, descriptor)| {
        let compression = Compression::of_media_type(&descriptor.media_type)?;
        Some(Layer::Stored { source, descriptor, compression, diff_id: config.diff_ids().get(position).cloned(), known: None })
    });
    layers.collect()
}

/// What a configuration says of how its program starts.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// The program and its arguments.
    pub line: Vec<String>,
    /// The environment.
    pub env: Vec<(String, String)>,
    /// The working directory.
    pub dir: String,
    /// Who it runs as: nobody in particular, numbers, or names.
    pub user: String,
}

impl Command {
    /// What the image starts by itself.
    pub fn of(config: &Config) -> Self {
        let inner = config.spec().config().as_ref();
        let env = inner.and_then(|inner| inner.env().clone()).unwrap_or_default();
        let pairs = env.iter().filter_map(|pair| pair.split_once('='));
        Self {
            line: config.command_line(),
            env: pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            dir: inner.and_then(|inner| inner.working_dir().clone()).unwrap_or_default(),
            user: inner.and_then(|inner| inner.user().clone()).unwrap_or_default(),
        }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.env.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Where a program is looked for.
    fn candidates(&self, program: &str) -> Vec<String> {
        if program.starts_with('/') {
            vec![program.to_owned()]
        } else if program.contains('/') {
            vec![format!("{}/{program}", self.dir)]
        } else {
            self.variable("PATH").unwrap_or(PATH).split(':').map(|folder| format!("{folder}/{program}")).collect()
        }
    }
}

/// A user or group that is named and that the root does not know: every runtime refuses to start then.
pub fn unknown_user(root: &Root<'_>, user: &str) -> Option<Lack> {
    let (user, group) = user.split_once(':').unwrap_or((user, ""));
    let named = [(user, "user", look::USERS), (group, "group", look::GROUPS)];
    named.into_iter().find_map(|(name, what, file)| {
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let text = root.content(&format!("/{file}"));
        let text = text.as_ref().map(|text| String::from_utf8_lossy(text));
        let is_known = text.iter().flat_map(|text| text.lines()).any(|line| line.split(':').next() == Some(name));
        let told = shown(name.as_bytes());
        let why = if text.is_some() { "does not name it" } else { "is not there" };
        let message = format!("its {what} is {told}, and /{file} {why}");
        (!is_known).then_some(Lack { rule: "start-user", message })
    })
}

/// Follows what the kernel and the loader would do.
pub fn start(root: &mut Root<'_>, command: &Command, architecture: &str) -> Result<Started, Error> {
    let mut started = Started { lacks: unknown_user(root, &command.user).into_iter().collect(), ..Started::default() };
    let mut wanted = command.line.first().cloned().unwrap_or_default();
    let mut asked = None::<String>;
    for _ in 0..=SCRIPTS {
        let candidates = command.candidates(&wanted);
        if candidates.iter().all(|path| root.find(path).is_none()) {
            root.learn([look::name_of(&wanted).to_owned()])?;
        }
        let all: Vec<_> = candidates.iter().filter_map(|path| root.find(path)).collect();
        // In `PATH`, what nobody may execute is passed over.
        let found = all.iter().find(|(real, _)| root.not_executable(real).is_none()).or(all.first()).cloned();
        let Some((real, place)) = found else {
            started.is_absent = asked.is_none();
            started.program = None;
            let ends_as_on_windows = asked.is_some() && wanted.ends_with('\r');
            let where_ = if ends_as_on_windows {
                "its first line ends as on Windows".to_owned()
            } else {
                root.instead(&candidates).unwrap_or_else(|| root.whereabouts(look::name_of(&wanted)))
            };
            let wanted = shown(wanted.as_bytes());
            started.lacks.push(match asked {
                None => Lack { rule: "start-program", message: format!("it has no program {wanted}: {where_}") },
                Some(script) => {
                    let message = format!("it has no {wanted}, which the script {script} needs: {where_}");
                    Lack { rule: "start-interpreter", message }
                }
            });
            return Ok(started);
        };
        let why = match root.not_executable(&real) {
            Some(mode) => Some(format!("cannot be executed: its mode is {mode:04o}")),
            None => root.on_disk(&place).map(|disk| own::not_startable(disk, architecture)).transpose()?.flatten(),
        };
        if let Some(why) = why {
            let told = shown(real.as_bytes());
            started.lacks.push(match &asked {
                None => Lack { rule: "start-program", message: format!("its program /{told} {why}") },
                Some(script) => {
                    Lack { rule: "start-interpreter", message: format!("its /{told}, which the script {script} needs, {why}") }
                }
            });
        }
        root.look([place.clone()])?;
        started.program = Some(real.clone());
        match root.seen(&place).clone() {
            Look::Elf(program) => {
                libraries::Walk::new(root, command, architecture, &mut started).program(&real, &program)?;
                return Ok(started);
            }
            Look::Script(words) => {
                let Some(first) = words.first().cloned() else {
                    let message = format!("its script /{} names no interpreter behind `#!`", shown(real.as_bytes()));
                    started.lacks.push(Lack { rule: "start-interpreter", message });
                    return Ok(started);
                };
                asked = Some(format!("/{real}"));
                let behind = words.get(1).filter(|word| !word.starts_with('-') && !word.contains('='));
                // What `env` starts is looked for after it was found that `env` itself is there.
                let is_env = first.ends_with("/env") && root.find(&first).is_some();
                let (next, given) = match behind {
                    Some(behind) if is_env => (behind.clone(), Vec::new()),
                    _ => (first, words[1..].to_vec()),
                };
                started.scripts.push((given, real));
                wanted = next;
            }
            Look::Other => return Ok(started),
        }
    }
    let message = format!("more than {SCRIPTS} scripts start one another");
    started.lacks.push(Lack { rule: "start-interpreter", message });
    started.program = None;
    Ok(started)
}

/// A program that could not start in its image, which has not all that it asks for.
#[derive(Debug, thiserror::Error)]
#[error("{program} cannot start in the image: {}", joined(lacks))]
pub struct CannotStart {
    pub program: String,
    pub lacks: Vec<Lack>,
}

impl Failure for CannotStart {}

fn joined(lacks: &[Lack]) -> String {
    lacks.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
