//! Hosts that start a program only by its own SHA-256.

use super::pages::blocks;
use super::runner::Runner;
use crate::support::project::Project;

#[test]
fn the_digest_that_openbao_and_vault_want_is_told_and_is_the_programs_own() {
    let [inspect] = &blocks("docs/src/recipes/openbao.md", "## OpenBao, from a registry", "sh")[..] else { panic!("one block") };
    let [stanza] = &blocks("docs/src/recipes/openbao.md", "## OpenBao, from a registry", "hcl")[..] else { panic!("one block") };
    let [register] = &blocks("docs/src/recipes/openbao.md", "## Vault, or OpenBao without a registry", "sh")[..] else {
        panic!("one block")
    };
    let runner = Runner::of(Project::fixture("greeter"));
    let job = runner.job("here").installed();
    let told = job.succeed(inspect).stdout;
    let program = told.lines().find(|line| line.trim_start().starts_with("program")).unwrap_or_else(|| panic!("{told}"));
    let (path, digest) = program.trim_start().strip_prefix("program").unwrap().trim().split_once("  sha256:").unwrap();
    assert!(stanza.contains(&format!("binary_name = \"{path}\"")), "{path}");
    job.tool("vault", &[(&format!("plugin register -sha256={digest} secret greeter"), "echo registered")], "exit 9");
    assert_eq!(job.succeed(register).stdout.trim().lines().last(), Some("registered"));
}
