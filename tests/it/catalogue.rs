//! Pages for people beside what is published.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use crate::support::browser::Browser;
use crate::support::http_server::{Answer, Handler, Reply, Request, Server};
use crate::support::layouts::HandLayout;
use crate::support::memory_bucket::MemoryBucket;
use crate::support::program::{done, plugin_build, ran, run};
use crate::support::sample::Sample;

const URL: &str = "https://plugins.example";

fn page(dir: &Path, path: &str) -> String {
    fs::read_to_string(dir.join("site").join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn publish(dir: &Path, arguments: &[&str]) {
    done(dir, &[&["publish", "-q"], arguments].concat());
}

#[test]
fn pages_follow_what_is_published() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    Sample::image("greeter", 1000).with_referrer().to_layout(&dir.join("image"));
    publish(dir, &["oci:image", "site"]);
    assert!(!dir.join("site/index.html").exists(), "nobody asked for it");
    publish(dir, &["--name", "team/second", "oci:image", "--catalogue", URL, "site"]);
    let list = page(dir, "index.html");
    // Also what was published before there were pages.
    for name in ["greeter", "team/second"] {
        assert!(list.contains(&format!(r#"<a href="catalogue/{name}/_.html">{name}</a>"#)), "{list}");
    }
    let image = page(dir, "catalogue/team/second/_/1.0.html");
    assert!(image.contains(r#"<a href="../../../../index.html">"#), "{image}");
    assert!(image.contains("cargo plugin-build install plugins.example/team/second:1.0@sha256:"), "{image}");

    // Without being asked again: another tag, and one less.
    done(dir, &["copy", "oci:image:1.0", "oci:next:1.10.0"]);
    done(dir, &["copy", "oci:image:1.0", "oci:next:1.9.0"]);
    publish(dir, &["--all", "--name", "greeter", "oci:next", "site"]);
    let repository = page(dir, "catalogue/greeter/_.html");
    let place = |tag: &str| repository.find(&format!(">{tag}</a>")).unwrap_or_else(|| panic!("{tag}: {repository}"));
    assert!(place("1.10.0") < place("1.9.0") && place("1.9.0") < place("1.0"), "{repository}");
    assert!(page(dir, "index.html").contains(r#"<a href="catalogue/greeter/_/1.10.0.html">1.10.0</a>"#));
    done(dir, &["unpublish", "greeter:1.10.0", "site"]);
    assert!(!page(dir, "catalogue/greeter/_.html").contains("1.10.0"));
    assert!(!dir.join("site/catalogue/greeter/_/1.10.0.html").exists());
    done(dir, &["unpublish", "team/second:1.0", "site"]);
    assert!(!page(dir, "index.html").contains("team/second"));
    assert!(!dir.join("site/catalogue/team/second/_.html").exists());

    // At another host every page names it.
    publish(dir, &["oci:image", "site", "--catalogue", "https://other.example"]);
    assert!(page(dir, "catalogue/greeter/_/1.9.0.html").contains("other.example/greeter:1.9.0@"));
}

#[test]
fn nobodys_page_is_overwritten_and_a_bad_url_sends_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    Sample::image("greeter", 10).to_layout(&dir.join("image"));
    fs::create_dir(dir.join("site")).unwrap();
    fs::write(dir.join("site/index.html"), "mine").unwrap();
    let refused = run(dir, &["publish", "oci:image", "site", "--catalogue", URL]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("`index.html` of") && refused.stderr.contains("a prefix of its own"), "{}", refused.stderr);
    assert_eq!(page(dir, "index.html"), "mine");
    let refused = run(dir, &["publish", "oci:image", "new", "--catalogue", "https://a/b?c"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(!dir.join("site/v2").exists() && !dir.join("new").exists());
}

#[test]
fn what_strangers_write_is_text_and_no_page() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let mut layout = HandLayout::new(&dir.join("image"));
    let evil = "</p><script>alert(1)</script><img src=x onerror=alert(2)>\u{202e}\"'&";
    let annotations = json!({
        "dev.cargo-plugin-build.name": "evil",
        "dev.cargo-plugin-build.kind": evil,
        "org.opencontainers.image.title": evil,
        "org.opencontainers.image.description": evil,
        "org.opencontainers.image.source": "javascript:alert(3)",
        "org.opencontainers.image.documentation": "https://a.example/\"onclick=\"alert(4)",
        "io.artifacthub.package.readme-url": " https://a.example/",
    });
    let image = layout.image("linux/amd64", &[], plugin_oci::values::compression::Compression::Gzip);
    let index = layout.index(&[image], &annotations);
    layout.referrer(evil, &index, &[]);
    layout.tag("1.0", index);
    publish(dir, &["oci:image", "site", "--catalogue", URL]);
    for path in ["index.html", "catalogue/evil/_.html", "catalogue/evil/_/1.0.html"] {
        let text = page(dir, path);
        assert!(!text.contains("<script") && !text.contains("<img") && !text.contains('\u{202e}'), "{path}: {text}");
        assert!(!text.contains("href=\"javascript") && !text.contains("\"onclick"), "{path}: {text}");
        assert!(text.contains("default-src 'none'"), "{path}");
    }
}

#[test]
fn publishers_at_once_are_all_listed() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    Sample::image("greeter", 10).to_layout(&dir.join("image"));
    let names: Vec<String> = (0..8).map(|number| format!("t{number}")).collect();
    for name in &names {
        done(dir, &["copy", "oci:image:1.0", &format!("oci:{name}:{name}")]);
    }
    let store = MemoryBucket::start();
    std::thread::scope(|scope| {
        for name in &names {
            let store = &store;
            scope.spawn(move || {
                let image = format!("oci:{name}");
                let arguments = ["publish", &image, "s3://plugins", "--catalogue", URL];
                let run = ran(plugin_build(dir).args(arguments).envs(store.environment()));
                assert_eq!(run.code, 0, "{}", run.stderr);
            });
        }
    });
    let objects = store.bucket.objects();
    let text = |key: &str| String::from_utf8(objects[key].bytes.clone()).unwrap();
    for name in &names {
        assert!(text("catalogue/greeter/_.html").contains(&format!(">{name}</a>")), "{name}");
        assert!(objects.contains_key(&format!("catalogue/greeter/_/{name}.html")), "{name}");
    }
    assert!(text("index.html").contains("<td>8</td>"));
    assert_eq!(objects["index.html"].content_type, "text/html; charset=utf-8");
    assert_eq!(objects["index.html"].cache_control, "no-cache");
}

/// A web server that knows pages.
struct Pages(std::path::PathBuf);

impl Handler for Pages {
    fn answer(&self, request: &Request) -> Answer {
        let path = if request.path == "/" { "index.html" } else { request.path.trim_start_matches('/') };
        let file = fs::read(self.0.join(path));
        file.map_or_else(|_| Reply::new(404), |bytes| Reply::new(200).header("Content-Type", "text/html").body(bytes)).into()
    }
}

#[test]
#[ignore = "needs Chromium"]
fn a_browser_leads_from_the_list_to_an_image() {
    let Some(browser) = Browser::start() else { return };
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    Sample::image("greeter", 1000).with_referrer().to_layout(&dir.join("image"));
    let long = format!("{}/long", "a".repeat(60));
    publish(dir, &["oci:image", "site", "--catalogue", URL]);
    publish(dir, &["--name", &long, "oci:image", "site"]);
    let server = Server::start(Arc::new(Pages(dir.join("site"))));
    let mut pictures = Vec::new();
    for width in [400, 1200] {
        // The window has no edges without a screen; what lies outside of it would have to be scrolled to.
        let fits = || {
            assert_eq!(browser.eval("document.documentElement.scrollWidth <= innerWidth"), true, "{width}");
            pictures_of(&browser)
        };
        browser.open(&format!("http://{}/", server.host()), width);
        pictures.push(fits());
        browser.click("greeter");
        assert_eq!(browser.eval("document.querySelector('h1').innerText"), "greeter");
        pictures.push(fits());
        browser.click("1.0");
        assert_eq!(browser.eval("document.querySelectorAll('h1').length"), 1);
        let commands = browser.eval("[...document.querySelectorAll('pre')].map(pre => pre.innerText).join('\\n')");
        assert!(commands.as_str().unwrap().contains("install plugins.example/greeter:1.0@sha256:"), "{commands}");
        pictures.push(fits());
        browser.click("All repositories");
        assert_eq!(browser.eval("location.pathname"), "/index.html");
        assert_eq!(browser.eval("document.documentElement.lang !== '' && document.title !== ''"), true);
    }
    let distinct: std::collections::BTreeSet<&String> = pictures.iter().collect();
    assert_eq!(distinct.len(), 6);
    assert_eq!(browser.console(), Vec::<String>::new());
}

/// A picture in which something can be seen.
fn pictures_of(browser: &Browser) -> String {
    let picture = browser.screenshot();
    assert!(picture.len() > 4000, "an empty page");
    picture
}
