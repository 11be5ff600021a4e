//! Completions and the manual, put where the page says.

use super::pages::blocks;
use super::runner::Runner;
use crate::support::project::Project;

#[test]
fn the_scripts_and_pages_are_where_shells_and_man_look() {
    let page = |heading: &str| blocks("docs/src/completions.md", heading, "sh").concat();
    let runner = Runner::of(Project::new(&[]));
    let job = runner.job("here").installed();
    let [bash] = &blocks("docs/src/completions.md", "## bash", "sh")[..] else { panic!("one block") };
    let there = job.succeed(&format!("{bash}complete -p cargo-plugin-build; complete -p cargo"));
    assert!(there.stdout.contains("-F __cargo_plugin_build cargo-plugin-build"), "{}", there.stdout);
    assert!(!blocks("docs/src/completions.md", "## zsh", "sh").is_empty());
    job.succeed(&page("## zsh"));
    assert!(!blocks("docs/src/completions.md", "## fish", "sh").is_empty());
    job.succeed(&page("## fish"));
    let scripts = job.succeed(
        "head -n 1 ~/.zfunc/_cargo-plugin-build; grep -c 'complete -c cargo' ~/.config/fish/conf.d/cargo-plugin-build.fish",
    );
    assert_eq!(scripts.stdout, "#compdef cargo-plugin-build\n2\n");
    job.tool("man", &[("cargo-plugin-build-verify", "exec cat ~/.local/share/man/man1/cargo-plugin-build-verify.1")], "exit 9");
    let [manual] = &blocks("docs/src/completions.md", "## Manual", "sh")[..] else { panic!("one block") };
    let shown = job.succeed(manual).stdout;
    assert!(shown.contains(".SH \"EXIT STATUS\"") && shown.contains("rebuild"), "{shown}");
}
