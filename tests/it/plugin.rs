//! Reading manifests: keys, kinds, selection, files.

use crate::hints::hint;
use plugin_build::build::kinds::{Kind, Product};
use plugin_build::build::manifest::config::Config;
use plugin_build::build::manifest::{BuildFlags, Plugin, load};
use plugin_oci::failure::{Class, Error};
use serde_json::json;

use crate::support::project::Project;
use crate::support::recorder::Recorder;

/// The manifest's text in front of a table of [`Project::with_table`] takes this many lines.
const BEFORE: usize = 8;

fn only(project: &Project) -> Plugin {
    project.load(&BuildFlags::default()).unwrap().plugins.remove(0)
}

fn refused(project: &Project) -> Error {
    let error = project.load(&BuildFlags::default()).unwrap_err();
    assert_eq!(error.class(), Class::Usage, "{error}");
    error
}

fn files(project: &Project) -> Vec<(String, u32)> {
    only(project).files.into_iter().map(|file| (file.path, file.mode)).collect()
}

#[test]
fn the_packages_table_lies_over_the_workspaces() {
    let project = Project::fixture("trio");
    let workspace = project.load(&BuildFlags::default()).unwrap();
    let names: Vec<_> = workspace.plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    assert_eq!(names, ["alpha", "trio-beta", "gamma"]);
    let beta = &workspace.plugins[1];
    let env: Vec<_> = beta.config.execution().env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(env, ["BETA_ONLY=yes", "TRIO_LEVEL=2", "TRIO_MODE=shared"]);
    assert_eq!(beta.config.user.as_deref(), Some("1000:1000"));
    assert_eq!(workspace.plugins[2].config.execution().args, ["--loud"]);
}

#[test]
fn flags_win_over_every_table() {
    let project = Project::with_table("[package.metadata.plugin-build]\ncompression = 'zstd'\nlabels = { a = '1', b = '1' }\n");
    let flags = BuildFlags {
        compression: Some(plugin_oci::values::compression::Compression::None),
        labels: [("b".to_owned(), "2".to_owned())].into(),
        ..BuildFlags::default()
    };
    let plugin = project.load(&flags).unwrap().plugins.remove(0);
    assert_eq!(plugin.config.compression.unwrap().as_str(), "none");
    assert_eq!(plugin.config.execution().labels, [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())].into());
}

/// What every broken table is told: line in the table, message, hint.
const BROKEN: [(&str, usize, &str, &str); 38] = [
    ("entrypoint = '/weather'", 1, "bad value of `entrypoint`: want a list: `entrypoint = [\"/weather\"]`", ""),
    ("files = 'assets'", 1, "bad value of `files`: want a list of tables: `files = [{ from = \"assets\" }]`", ""),
    ("env = ['A=b']", 1, "bad value of `env`: want a table: `env = { NAME = \"value\" }`", ""),
    ("bundle-libs = 'true'", 1, "bad value of `bundle-libs`: want `true` or `false`, without quotes", ""),
    ("keep = 0", 1, "bad value of `keep`: want a number, 1 or more", ""),
    ("passwd = ['app']", 1, "bad value of `passwd[0]`: want a table such as { name", ""),
    ("passwd = [{ name = 'app', uid = 1, gecos = '' }]", 1, "unknown key `passwd[0].gecos` in plugin-build", "the keys are"),
    ("passwd = [{ name = 'a:b', uid = 1 }]", 1, "bad value of `passwd[0].name`: want a letter", ""),
    ("passwd = [{ name = 'a', uid = 1 },\n{ name = 'a', uid = 2 }]", 2, "bad value of `passwd[1].name`: want each name once", ""),
    ("passwd = [{ name = 'a', uid = 1, home = 'h' }]", 1, "bad value of `passwd[0].home`: want an absolute path", ""),
    ("ports = [8080, '80/http']", 1, "bad value of `ports`: want numbers", ""),
    ("ports = [70000]", 1, "bad value of `ports`: a port such as", ""),
    ("volumes = ['data']", 1, "bad value of `volumes`: want absolute paths", ""),
    ("stop-signal = 'TERM'", 1, "bad value of `stop-signal`: want a signal's name", ""),
    ("base = ['oci:a']", 1, "bad value of `base`: an image such as \"oci:DIR:TAG\"", ""),
    ("\nbase = { linux = 'oci:a' }", 2, "bad value of `base.linux`: `linux` is not a platform", ""),
    ("shape = 'image'", 1, "bad value of `shape`: only the kind `library` has a choice", ""),
    ("kind = 'wasm'\nports = [80]", 2, "bad value of `ports`: nothing is started in the image of a `wasm`", ""),
    ("healthcheck = 'x'", 1, "unknown key `healthcheck` in plugin-build", "the keys are"),
    ("files = ['assets']", 1, "bad value of `files[0]`: want a table such as { from", ""),
    ("knd = 'wasm'", 1, "unknown key `knd` in plugin-build", "did you mean `kind`?"),
    ("cmd = ['a']", 1, "unknown key `cmd` in plugin-build", "did you mean `args`?"),
    ("platforms = ['linux/amd64']", 1, "unknown key `platforms` in plugin-build", "did you mean `targets`?"),
    ("tag = 'x'", 1, "unknown key `tag` in plugin-build", "the keys are"),
    ("bundle_libs = true", 1, "unknown key `bundle_libs` in plugin-build", "did you mean `bundle-libs`?"),
    ("user = '1'\nfiles = [{ form = 'a' }]", 2, "unknown key `files[0].form` in plugin-build", "did you mean `from`?"),
    ("contract = { shema = 'a' }", 1, "unknown key `contract.shema` in plugin-build", "did you mean `schema`?"),
    ("targets = 'x86_64'", 1, "bad value of `targets`: want a list: `targets = [\"x86_64\"]`", ""),
    ("\nenv = { A = 1 }", 2, "bad value of `env.A`: want a text: `\"1\"`", ""),
    ("kind = 'docker'", 1, "bad value of `kind`: want one of executable, cosmo-router, wasm, proxy-wasm, library", ""),
    ("compression = 'gz'", 1, "bad value of `compression`: want one of gzip, zstd, none; did you mean `\"gzip\"`?", ""),
    ("name = 'a/b'", 1, "bad value of `name`: `a/b` is not a plain file name", ""),
    ("workdir = 'a'", 1, "bad value of `workdir`: want an absolute path", ""),
    ("user = '65532:'", 1, "bad value of `user`: want `name`, `uid` or `uid:gid`", ""),
    ("base = 'oci:'", 1, "bad value of `base`", ""),
    ("files = [{ from = 'none/**' }]", 1, "`files` entry `none/**` matches nothing", ""),
    ("files = [{ from = 'none.txt' }]", 1, "`files` entry names [root]/none.txt, which does not exist", ""),
    ("files = [{ from = '../x' }]", 1, "`files` entry `../x` leaves the package", "`from` is relative to the package"),
];

#[test]
fn a_broken_table_is_told_with_file_line_key_and_the_nearest_key() {
    for (table, line, message, way_out) in BROKEN {
        let project = Project::with_table(&format!("[package.metadata.plugin-build]\n{table}\n"));
        let error = refused(&project);
        let text = project.anonymous(&error.to_string());
        let expected = format!("[root]/Cargo.toml:{}: {message}", BEFORE + line);
        assert!(text.starts_with(&expected), "{text}\n{expected}");
        assert!(hint(error.inner()).unwrap_or_default().starts_with(way_out), "{:?}", hint(error.inner()));
    }
}

#[test]
fn a_workspaces_table_is_checked_too() {
    let project = Project::new(&[
        ("Cargo.toml", "[workspace]\nmembers = ['p']\n[workspace.metadata.plugin-build]\nlables = {}\n"),
        ("p/Cargo.toml", "[package]\nname = 'p'\nversion = '0.1.0'\nedition = '2024'\n"),
        ("p/src/main.rs", "fn main() {}"),
    ]);
    let error = refused(&project);
    assert_eq!(project.anonymous(&error.to_string()), "[root]/Cargo.toml:4: unknown key `lables` in plugin-build");
    assert_eq!(hint(error.inner()).as_deref(), Some("did you mean `labels`?"));
}

#[test]
fn cargos_own_complaint_about_a_manifest_is_passed_on() {
    let project = Project::new(&[("Cargo.toml", "[package]\nname = ")]);
    let text = refused(&project).to_string();
    assert!(text.contains("Cargo.toml:2"), "{text}");
    let flags = BuildFlags { manifest_path: Some("none/Cargo.toml".into()), ..BuildFlags::default() };
    let text = project.load(&flags).unwrap_err().to_string();
    assert!(text.contains("none/Cargo.toml` does not exist"), "{text}");
}

#[test]
fn the_schema_accepts_and_refuses_what_reading_does() {
    let schema = serde_json::to_value(Config::schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let whole = "kind = 'cosmo-router'\nname = 'a'\nbin = 'p'\ntargets = ['t']\nfiles = [{ from = 'src/main.rs', to = 'b/', mode = '0755' }]\n\
                 entrypoint = ['/a']\nargs = []\nuser = '1'\nworkdir = '/'\nenv = { A = 'b' }\nlabels = {}\nannotations = {}\n\
                 passwd = [{ name = 'app', uid = 1000, gid = 1, home = '/h', shell = '/s' }]\nca-certificates = false\n\
                 timezone-data = false\nports = [80, '53/udp']\nvolumes = ['/data']\nstop-signal = 'SIGINT'\n\
                 base = { 'linux/amd64' = 'oci:a:b' }\ncompression = 'zstd'\nbundle-libs = true\nkeep = 2\ncontract = { schema = 'a', proto = 'b', mapping = 'c', lock = 'd' }\n";
    let accepts = |table: &str| {
        let value: toml::Table = table.parse().unwrap();
        validator.is_valid(&serde_json::to_value(value).unwrap())
    };
    assert!(accepts("") && accepts(whole));
    Project::with_table(&format!("[package.metadata.plugin-build]\n{whole}")).load(&BuildFlags::default()).unwrap();
    let about_values = BROKEN.iter().filter(|(_, _, message, _)| {
        message.starts_with("unknown key") || message.contains(": want a list") || message.contains(": want a t")
    });
    for (table, ..) in about_values {
        assert!(!accepts(table), "{table}");
    }
    assert!(accepts("base = 'oci:a:b'") && accepts("kind = 'library'\nshape = 'image'"));
    assert!(!accepts("ports = ['x']") && !accepts("ports = [0]") && !accepts("stop-signal = 'term'") && !accepts("base = 3"));
    assert!(!accepts("kind = 'docker'") && !accepts("name = 'a/b'") && !accepts("files = [{ from = 'a', mode = '0999' }]"));
    assert_eq!(schema["properties"].as_object().unwrap().len(), 25);
    assert_eq!(schema["additionalProperties"], json!(false));
}

#[test]
fn packages_are_selected_as_cargo_does_and_by_their_table() {
    let project = Project::fixture("trio");
    let names = |flags: &BuildFlags| -> Vec<String> {
        project.load(flags).unwrap().plugins.into_iter().map(|plugin| plugin.package.name).collect()
    };
    let packages = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let by_name = |specs: &[&str]| BuildFlags { packages: packages(specs), ..BuildFlags::default() };
    assert_eq!(names(&by_name(&["trio-tool"])), ["trio-tool"]);
    assert_eq!(names(&by_name(&["gamma", "alpha@1.2.0", "alpha"])), ["alpha", "gamma"]);
    assert_eq!(names(&by_name(&["*a"])), ["alpha", "beta", "gamma"]);
    let workspace = BuildFlags { workspace: true, exclude: packages(&["beta"]), ..BuildFlags::default() };
    assert_eq!(names(&workspace), ["alpha", "gamma"]);
    let manifest = BuildFlags { manifest_path: Some("trio-tool/../tool/Cargo.toml".into()), ..BuildFlags::default() };
    project.write("trio-tool/.keep", "");
    assert_eq!(names(&manifest), ["trio-tool"]);

    let recorder = Recorder::default();
    load(&BuildFlags::default(), &project.env(), &recorder).unwrap();
    assert_eq!(
        recorder.texts(),
        ["trio-shared", "trio-tool"].map(|name| format!("passing over {name}: no [package.metadata.plugin-build]"))
    );
    let error = project.load(&by_name(&["alhpa"])).unwrap_err();
    assert_eq!(hint(error.inner()).as_deref(), Some("did you mean `alpha`?"));
}

#[test]
fn a_workspace_without_plugins_says_how_to_get_one() {
    let project = Project::new(&[
        ("Cargo.toml", "[workspace]\nmembers = ['a', 'b']\nresolver = '3'\n"),
        ("a/Cargo.toml", "[package]\nname = 'a'\nversion = '0.1.0'\nedition = '2024'\n"),
        ("a/src/main.rs", "fn main() {}"),
        ("b/Cargo.toml", "[package]\nname = 'b'\nversion = '0.1.0'\nedition = '2024'\n"),
        ("b/src/main.rs", "fn main() {}"),
    ]);
    let error = refused(&project);
    assert!(error.to_string().starts_with("nothing to build"), "{error}");
    assert_eq!(hint(error.inner()).as_deref(), Some("add the table (it may be empty), or name a package with -p: a, b"));
}

#[test]
fn kinds_and_products_follow_the_crate() {
    let library = only(&Project::fixture("cdylib"));
    assert_eq!((library.kind, library.product), (Kind::Library, Product::Lib("checksum".to_owned())));
    let options = only(&Project::fixture("options"));
    assert_eq!((options.kind, options.product), (Kind::Executable, Product::Bin("options".to_owned())));
    let both = Project::with_table("[lib]\ncrate-type = ['cdylib']\n");
    both.write("src/lib.rs", "");
    assert_eq!(refused(&both).to_string(), "package `p` could be `executable` or `library`");
    let wasm = Project::with_table("[package.metadata.plugin-build]\nkind = 'wasm'\n");
    assert_eq!(only(&wasm).targets, ["wasm32-wasip1"]);
    let files = Project::with_table("[package.metadata.plugin-build]\nkind = 'wasm'\nfiles = [{ from = 'src/**' }]\n");
    assert!(refused(&files).to_string().contains("exactly one module"));
}

#[test]
fn files_land_below_their_globs_literal_prefix() {
    let rules = |rules: &str| {
        let project = Project::with_table(&format!("[package.metadata.plugin-build]\nfiles = [{rules}]\n"));
        for path in ["assets/a.txt", "assets/x/b.txt", "assets/x/.hidden", "tool.sh"] {
            project.write(path, "");
        }
        files(&project)
    };
    let plain = |paths: &[&str]| paths.iter().map(|&path| (path.to_owned(), 0o644)).collect::<Vec<_>>();
    let all = plain(&["share/a.txt", "share/x/.hidden", "share/x/b.txt"]);
    assert_eq!(rules("{ from = 'assets/**', to = 'share/' }"), all);
    assert_eq!(rules("{ from = 'assets', to = '/share' }"), all);
    assert_eq!(rules("{ from = 'assets/*', to = '' }"), plain(&["a.txt"]));
    assert_eq!(rules("{ from = 'assets/*/b.{txt,md}' }"), plain(&["x/b.txt"]));
    assert_eq!(rules("{ from = '**/b.txt', to = 'c' }"), plain(&["c/assets/x/b.txt"]));
    assert_eq!(rules("{ from = 'assets/a.txt', to = 'c/' }"), plain(&["c/a.txt"]));
    assert_eq!(rules("{ from = 'assets/a.txt', to = 'c/d' }"), plain(&["c/d"]));
    assert_eq!(rules("{ from = 'tool.sh', mode = '0755' }"), [("tool.sh".to_owned(), 0o755)]);
    assert_eq!(rules("{ from = 'assets/**' }, { from = 'assets/a.txt' }"), plain(&["a.txt", "x/.hidden", "x/b.txt"]));
}

#[test]
#[cfg(unix)]
fn no_file_is_reached_through_a_link_out_of_the_workspace() {
    let rule = |from: &str| Project::with_table(&format!("[package.metadata.plugin-build]\nfiles = [{{ from = '{from}' }}]\n"));
    let project = rule("near/.netrc");
    project.write("../home/.netrc", "password s3cret");
    std::os::unix::fs::symlink("../home", project.root.join("near")).unwrap();
    assert!(refused(&project).to_string().contains("`files` entry `near/.netrc` leaves the package"));
    let inside = rule("near/a");
    inside.write("assets/a", "");
    std::os::unix::fs::symlink("assets", inside.root.join("near")).unwrap();
    assert_eq!(files(&inside), [("a".to_owned(), 0o644)]);
}

#[test]
fn a_contract_lies_in_the_workspace() {
    let project = Project::router_plugin("contract = { schema = '../home/.netrc' }");
    project.write("../home/.netrc", "password s3cret");
    let text = refused(&project).to_string();
    assert!(text.contains("contract") && text.ends_with("../home/.netrc leaves the workspace"), "{text}");
}

#[test]
fn two_files_in_one_place_are_refused_with_both_names() {
    let project = Project::with_table("[package.metadata.plugin-build]\nfiles = [{ from = 'a/**' }, { from = 'b/**' }]\n");
    project.write("a/x", "");
    project.write("b/x", "");
    let text = project.anonymous(&refused(&project).to_string());
    assert_eq!(text, "[root]/Cargo.toml:9: `x` is wanted twice: as [root]/a/x and as [root]/b/x");
}

#[test]
fn the_projects_own_gitignore_counts_and_nothing_above_it() {
    let project = Project::with_table("[package.metadata.plugin-build]\nfiles = [{ from = 'assets/**' }]\n");
    project.write("../.gitignore", "*.txt\n");
    project.write(".gitignore", "*.log\n");
    project.write("assets/.gitignore", "/secret\n");
    for path in ["assets/a.txt", "assets/b.log", "assets/secret", "assets/sub/secret"] {
        project.write(path, "");
    }
    let paths: Vec<String> = files(&project).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, [".gitignore", "a.txt", "sub/secret"]);

    let project = Project::with_table("[package.metadata.plugin-build]\nfiles = [{ from = 'out/*' }]\n");
    project.write(".gitignore", "out/\n");
    project.write("out/a", "");
    assert!(hint(refused(&project).inner()).unwrap().starts_with("1 matching files are left out by .gitignore"));
    let literal = Project::with_table("[package.metadata.plugin-build]\nfiles = [{ from = 'out/a' }]\n");
    literal.write(".gitignore", "out/\n");
    literal.write("out/a", "");
    assert_eq!(files(&literal).len(), 1);
}

#[test]
#[cfg(unix)]
fn symlinks_are_packed_as_symlinks() {
    let project = Project::with_table("[package.metadata.plugin-build]\nfiles = [{ from = 'a/**' }]\n");
    project.write("a/real/x", "");
    std::os::unix::fs::symlink("real", project.root.join("a/link")).unwrap();
    let plugin = only(&project);
    let links: Vec<_> = plugin.files.iter().map(|file| (file.path.as_str(), file.link.as_deref())).collect();
    assert_eq!(links, [("link", Some("real")), ("real/x", None)]);
}
