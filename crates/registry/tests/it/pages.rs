//! Pages for people: a list of what whoever asks may see, and from there to an image.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plugin_oci::documents::{Descriptor, media_type};
use serde_json::json;

use crate::support::browser::Browser;
use crate::support::client::Client;
use crate::support::server::{Pair, Place};
use crate::support::tools::stdout;

/// Pushes an image for one platform under some tags, with a bill of materials.
fn push(client: &Client, name: &str, tags: &[&str]) {
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).to_string();
    let described = Descriptor::of(media_type::CONFIG, config.as_bytes());
    client.push_blob(name, &described.digest.to_string(), config.as_bytes());
    let annotations = json!({"org.opencontainers.image.description": format!("What {name} <is>")});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": described, "layers": [], "annotations": annotations,
    });
    let bytes = manifest.to_string();
    for tag in tags {
        client.push_manifest(name, tag, media_type::MANIFEST, bytes.as_bytes()).is(201);
    }
    let subject = Descriptor::of(media_type::MANIFEST, bytes.as_bytes());
    let bill = json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST, "artifactType": "application/vnd.cyclonedx+json",
        "config": described, "layers": [], "subject": subject,
    });
    let bytes = bill.to_string();
    let digest = Descriptor::of(media_type::MANIFEST, bytes.as_bytes()).digest;
    client.push_manifest(name, &digest.to_string(), media_type::MANIFEST, bytes.as_bytes()).is(201);
}

fn text(client: &Client, path: &str) -> String {
    let answer = client.get(path).is(200);
    assert_eq!(answer.header("Content-Type"), Some("text/html; charset=utf-8"), "{path}");
    assert_eq!(answer.header("Cache-Control"), Some("private, no-store"), "{path}");
    String::from_utf8(answer.body).unwrap()
}

#[test]
fn a_list_leads_to_repositories_and_these_to_images() {
    let place = Place::directory();
    let pair = Pair::of(&place, &[]);
    let client = &pair.client;
    assert!(text(client, "/").contains("Nothing is here yet"));
    let tags: Vec<String> = (0..60).map(|number| format!("1.{number}.0")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    push(client, "team/greeter", &tags);
    // Names are known for some seconds, by each replica.
    let place = Pair::of(&place, &[]);
    let client = &place.client;
    let list = text(client, "/");
    assert!(list.contains(r#"<a href="catalogue/team/greeter/_.html">team/greeter</a>"#), "{list}");
    assert!(list.contains("What team/greeter &lt;is&gt;") && list.contains(">1.59.0</a>") && list.contains("<td>60</td>"));
    let first = text(client, "/catalogue/team/greeter/_.html");
    assert!(first.find(">1.59.0</a>") < first.find(">1.10.0</a>") && !first.contains(">1.9.0</a>"), "{first}");
    assert!(first.contains("linux/amd64") && first.contains("SBOM") && first.contains(r#"href="?after=1.10.0""#), "{first}");
    let second = text(client, "/catalogue/team/greeter/_.html?after=1.10.0");
    assert!(second.contains(">1.9.0</a>") && second.contains(">1.0.0</a>") && !second.contains("rel=\"next\""), "{second}");
    let image = text(client, "/catalogue/team/greeter/_/1.59.0.html");
    assert!(image.contains("/team/greeter:1.59.0@sha256:") && image.contains("application/vnd.cyclonedx+json"), "{image}");
    client.get("/catalogue/team/greeter/_/2.0.html").is(404);
    client.get("/catalogue/none/_.html").is(404);
    client.send("PUT", "/", &[], b"").is(405);
    client.head("/").is(200);
    // Whoever asks under a name that is none is told of this machine.
    let odd = client.send("GET", "/", &[("Host", "<script>")], b"");
    assert!(odd.status == 400 || !String::from_utf8_lossy(&odd.body).contains("<script"), "{odd:?}");
}

#[test]
fn each_sees_what_is_theirs_to_pull() {
    let place = Place::directory();
    {
        let open = Pair::of(&place, &["--no-auth"]);
        push(&open.client, "public/a", &["1"]);
        push(&open.client, "team/b", &["1"]);
    }
    let closed = Pair::of(&place, &["--auth", "--anonymous", "public/*"]);
    let token = stdout(place.alone("token").args(["--repo", "team/*", "--pull"]));
    let credentials = format!("Basic {}", STANDARD.encode(format!("x:{}", token.trim())));
    let owner = |path: &str| closed.client.send("GET", path, &[("Authorization", &credentials)], b"");
    let nobody = text(&closed.client, "/");
    assert!(nobody.contains("public/a") && !nobody.contains("team/b"), "{nobody}");
    closed.client.get("/catalogue/team/b/_.html").is(401);
    closed.client.get("/catalogue/team/b/_/1.html").is(401);
    closed.client.get("/catalogue/public/a/_/1.html").is(200);
    let theirs = String::from_utf8(owner("/").is(200).body).unwrap();
    assert!(theirs.contains("public/a") && theirs.contains("team/b"), "{theirs}");
    owner("/catalogue/team/b/_/1.html").is(200);
    closed.client.send("GET", "/", &[("Authorization", "Basic eDp3cm9uZw==")], b"").is(401);
    let all = Pair::of(&place, &["--auth"]);
    let refused = all.client.get("/").is(401);
    assert!(refused.header("WWW-Authenticate").is_some(), "a browser asks for it");
}

#[test]
#[ignore = "needs Chromium"]
fn a_browser_finds_an_image() {
    let Some(browser) = Browser::start() else { return };
    let place = Place::directory();
    let pair = Pair::of(&place, &[]);
    push(&pair.client, "greeter", &["1.0"]);
    push(&pair.client, &format!("{}/long", "a".repeat(60)), &["1.0"]);
    for width in [400, 1200] {
        let fits = || assert_eq!(browser.eval("document.documentElement.scrollWidth <= innerWidth"), true, "{width}");
        browser.open(&format!("http://{}/", pair.servers[0].host), width);
        fits();
        browser.click("greeter");
        fits();
        browser.click("1.0");
        fits();
        let commands = browser.eval("[...document.querySelectorAll('pre')].map(pre => pre.innerText).join('\\n')");
        let wanted = format!("install {}/greeter:1.0@sha256:", pair.servers[0].host);
        assert!(commands.as_str().unwrap().contains(&wanted), "{commands}");
        assert!(browser.screenshot().len() > 4000, "an empty page");
        browser.click("All repositories");
    }
    assert_eq!(browser.console(), Vec::<String>::new());
}
