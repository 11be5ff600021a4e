//! Landlock on top of the mounts: what the file system allows by mistake is still forbidden.
//!
//! Everything below the root may be read and executed; only the target directory, the temporary one and `/dev/null` may
//! be written. What is reached without the root (`/proc/<pid>/fd`, say the caller's terminal) is neither; but
//! pipes are no files to it, and a build script may write into cargo's. TCP and UDP are
//! denied, too, where there is no network, and abstract sockets and signals beyond the sandbox, each where the kernel knows how; files are required.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use super::protocol::{Failure, Step};
use super::view::{Content, View};

/// The newest ABI that we ask for; an older kernel enforces what it knows.
const NEWEST: ABI = ABI::V7;

/// Confines this process and its children for ever; the kernel's landlock ABI.
pub fn confine(view: &View, network: bool) -> Result<u32, Failure> {
    let writable = view.paths(&Content::Writable).chain(view.paths(&Content::Scratch)).map(Path::to_owned);
    let files: Vec<_> = view.paths(&Content::WritableFile).map(Path::to_owned).collect();
    let rules = rules(&writable.collect::<Vec<_>>(), &files, network).map_err(|error| failed(&error))?;
    let status = rules.restrict_self().map_err(|error| failed(&error))?;
    match status.landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } if status.ruleset != RulesetStatus::NotEnforced => {
            Ok(kernel_abi.and_then(|abi| u32::try_from(abi).ok()).unwrap_or(effective_abi as u32))
        }
        _ => Err(failed(&"it took them and enforces none")),
    }
}

fn rules(writable: &[PathBuf], files: &[PathBuf], network: bool) -> Result<RulesetCreated, Box<dyn std::error::Error>> {
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .map_err(|_| "it has none, or they are not enabled")?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?;
    let rules = if network { rules } else { rules.handle_access(AccessNet::from_all(NEWEST))? };
    let mut rules = rules.create()?;
    let mut allow = |path: &Path, access: BitFlags<AccessFs>| -> Result<(), Box<dyn std::error::Error>> {
        (&mut rules).add_rule(PathBeneath::new(PathFd::new(path)?, access))?;
        Ok(())
    };
    allow(Path::new("/"), AccessFs::from_read(NEWEST))?;
    for path in writable {
        allow(path, AccessFs::from_all(NEWEST))?;
    }
    for file in files {
        allow(file, AccessFs::from_file(NEWEST))?;
    }
    allow(Path::new("/dev/null"), AccessFs::from_file(NEWEST))?;
    Ok(rules)
}

fn failed(error: &dyn ToString) -> Failure {
    Failure::of(Step::Landlock)(io::Error::other(error.to_string()))
}
