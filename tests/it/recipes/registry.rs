//! A registry without a server: what is published is pulled by others, whatever serves it.

use std::path::Path;
use std::process::Command;

use super::pages::blocks;
use super::runner::{Job, Runner};
use crate::support::memory_bucket::MemoryBucket;
use crate::support::program::{plugin_build, ran};
use crate::support::project::Project;
use crate::support::sample::Sample;
use crate::support::tools::{optional, require, stdout};
use crate::support::web::{self, Web};

/// `{}`, the configuration of every attachment.
const EMPTY: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
const PAGE: &str = "docs/src/recipes/registry.md";

fn machine() -> (Runner, Job) {
    let runner = Runner::of(Project::new(&[]));
    let job = runner.job("here").installed();
    (runner, job)
}

/// An image that engines unpack, with what refers to it, called `keepsake`; and its digest.
fn job() -> (Runner, Job, String) {
    let (runner, job) = machine();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/layouts/v1");
    job.succeed(&format!("cargo plugin-build copy 'oci:{}:gzip' oci:image:0.3.1", kept.display()));
    let digest = job.succeed("cargo plugin-build ls oci:image").stdout;
    let digest = digest.split_whitespace().nth(1).unwrap().to_owned();
    (runner, job, digest)
}

#[test]
fn a_bucket_is_published_to_and_cleared() {
    let [publish, remove] = &blocks("docs/src/recipes/registry.md", "# A registry of your own, without a server", "sh")[..]
    else {
        panic!("two blocks")
    };
    let [pages] = &blocks("docs/src/recipes/registry.md", "## Pages for people", "sh")[..] else { panic!("one block") };
    let [r2] = &blocks("docs/src/recipes/registry.md", "## R2 behind a domain", "sh")[..] else { panic!("one block") };
    let (_runner, job) = machine();
    let sample = Sample::image("greeter", 20_000).with_referrer();
    sample.to_layout(&job.dir.join("made"));
    job.succeed("cargo plugin-build copy oci:made:1.0 oci:image:0.3.1");
    let store = MemoryBucket::start();
    let variables = store.environment().map(|(name, value)| format!("export {name}='{value}'\n")).concat();
    let listed = job.succeed(&format!("{variables}{publish}")).stdout;
    assert!(listed.contains(&format!("greeter:0.3.1  {}", sample.root().digest)), "{listed}");
    job.succeed(&format!("{variables}{remove}"));
    assert!(!store.bucket.objects().keys().any(|key| key.contains("/blobs/")));
    let r2 = r2.replace("https://ACCOUNT.r2.cloudflarestorage.com", &format!("http://{}", store.server.host()));
    job.succeed(&format!("{variables}{r2}"));
    job.succeed(&format!("{variables}{pages}"));
    assert!(store.bucket.objects().contains_key("catalogue/greeter/_/0.3.1.html"));
    store.bucket.check();
    let [policy] = &blocks(PAGE, "## S3 with CloudFront", "json")[..] else { panic!("one block") };
    serde_json::from_str::<serde_json::Value>(policy).unwrap();
}

/// Whoever is there pulls the image, and finds what refers to it where that is looked for.
fn pulled_by_all(web: &Web, digest: &str) {
    let image = format!("{}/keepsake:0.3.1", web.host);
    let into = tempfile::tempdir().unwrap();
    let dir = into.path();
    let ours = ran(plugin_build(dir).args(["pull", &image, "ours"]));
    assert_eq!(ours.code, 0, "{}", ours.stderr);
    let listed = ran(plugin_build(dir).args(["ls", "oci:ours"])).stdout;
    assert!(listed.contains(digest) && listed.contains("+application/vnd.in-toto+json"), "{listed}");
    let Some(skopeo) = require("skopeo") else { return };
    let mut copy = Command::new(&skopeo);
    copy.args(["copy", "--all", "--preserve-digests", "--src-tls-verify=false", &format!("docker://{image}")]);
    stdout(copy.arg(format!("oci:{}:1", dir.join("theirs").display())));
    assert!(dir.join("theirs/blobs/sha256").join(digest.trim_start_matches("sha256:")).is_file());
    let mut tags = Command::new(&skopeo);
    let tags = stdout(tags.args(["list-tags", "--tls-verify=false", &format!("docker://{}/keepsake", web.host)]));
    assert!(tags.contains("\"0.3.1\""), "{tags}");
    if let Some(podman) = require("podman") {
        let mut pull = Command::new(podman);
        pull.arg("--root").arg(dir.join("root")).arg("--runroot").arg(dir.join("run"));
        stdout(
            pull.args(["--storage-driver", "vfs", "pull", "--quiet", "--tls-verify=false", "--arch", "amd64", &image])
                .env("HOME", dir),
        );
    }
    if let Some(crane) = optional("crane") {
        assert_eq!(stdout(Command::new(&crane).args(["digest", "--insecure", &image])).trim(), digest);
        stdout(Command::new(&crane).args(["pull", "--insecure", "--format", "oci", &image]).arg(dir.join("cranes")));
    }
    // moto refuses HEAD to whoever has no credentials.
    let takes_head = web::ask(&web.host, "HEAD", "/v2/keepsake/manifests/0.3.1").contains(" 200 ");
    if let Some(oras) = optional("oras").filter(|_| takes_head) {
        // Of a tag it believes a header alone, which object stores and file servers do not send.
        let image = format!("{}/keepsake@{digest}", web.host);
        let mut copy = Command::new(&oras);
        copy.args(["copy", "--recursive", "--from-plain-http", &image, "--to-oci-layout"]);
        stdout(copy.arg(format!("{}:1", dir.join("oras").display())));
        let referrers = stdout(Command::new(&oras).args(["discover", "--plain-http", "--format", "json", &image]));
        assert!(referrers.contains("application/vnd.in-toto+json"), "{referrers}");
    }
    let missing = |path: &str| web::ask(&web.host, "GET", path).contains(" 404 ");
    assert!(missing("/v2/keepsake/manifests/none") && missing("/v2/none/tags/list"));
}

#[test]
#[ignore = "needs nginx, skopeo and podman"]
fn nginx_serves_a_directory_to_all() {
    let [server] = &blocks(PAGE, "## nginx", "nginx")[..] else { panic!("one block") };
    let [publish] = &blocks("docs/src/recipes/registry.md", "## nginx", "sh")[..] else { panic!("one block") };
    let (_runner, job, digest) = job();
    let site = job.dir.join("site");
    let site = site.to_str().unwrap();
    job.succeed(&publish.replace("/srv/registry", site));
    let Some(web) = web::nginx(&server.replace("8080", "LISTEN").replace("/srv/registry", site)) else { return };
    pulled_by_all(&web, &digest);
    let typed = |rest: &str, wanted: &str| {
        let answer = web::ask(&web.host, "HEAD", &format!("/v2/keepsake/{rest}"));
        assert!(answer.contains(&format!("Content-Type: {wanted}\r\n")), "{rest}: {answer}");
    };
    typed("manifests/0.3.1", "application/vnd.oci.image.index.v1+json");
    typed(&format!("referrers/{digest}"), "application/vnd.oci.image.index.v1+json");
    typed("tags/list", "application/json");
    typed(&format!("blobs/{EMPTY}"), "application/octet-stream");
    assert!(web::ask(&web.host, "GET", "/_r/lock").starts_with("HTTP/1.1 404"));
    // The tag becomes a manifest, and is one.
    job.succeed("cargo plugin-build copy --platform linux/amd64 oci:image:0.3.1 oci:lone:0.3.1");
    job.succeed(&format!("cargo plugin-build publish oci:lone '{site}' --catalogue http://{}", web.host));
    for page in ["/", "/catalogue/keepsake/_/0.3.1.html"] {
        let answer = web::ask(&web.host, "GET", page);
        assert!(answer.contains("Content-Type: text/html\r\n") && answer.contains("keepsake"), "{page}: {answer}");
    }
    typed("manifests/0.3.1", "application/vnd.oci.image.manifest.v1+json");
}

#[test]
#[ignore = "needs python3, skopeo and podman"]
fn a_few_lines_of_python_serve_a_directory_to_all() {
    let [script] = &blocks(PAGE, "## Behind an air gap", "python")[..] else { panic!("one block") };
    let [serve] = &blocks("docs/src/recipes/registry.md", "## Behind an air gap", "sh")[..] else { panic!("one block") };
    let (_runner, job, digest) = job();
    job.succeed("cargo plugin-build publish oci:image registry");
    assert_eq!(serve, "cd registry && python3 ../serve.py\n");
    let Some(web) = web::python(&script.replace("8080", "PORT"), &job.dir.join("registry")) else { return };
    pulled_by_all(&web, &digest);
    // Without them it is enough for ours.
    let plain =
        "import http.server\nhttp.server.test(http.server.SimpleHTTPRequestHandler, http.server.ThreadingHTTPServer, port=PORT)";
    let Some(web) = web::python(plain, &job.dir.join("registry")) else { return };
    job.succeed(&format!("cargo plugin-build pull {}/keepsake:0.3.1 pulled", web.host));
}

/// A store that others have written judges what we send, and a proxy before it is the domain.
fn judged_by(store: Option<Web>) {
    let Some(store) = store else { return };
    let (_runner, job, digest) = job();
    let names: Vec<String> = (0..16).map(|number| format!("t{number}")).collect();
    for name in &names {
        job.succeed(&format!("cargo plugin-build copy oci:image:0.3.1 oci:{name}:{name}"));
    }
    let publish = |arguments: &[&str]| ran(plugin_build(&job.dir).arg("publish").args(arguments).envs(web::environment(&store)));
    let bucket = format!("s3://{}/below", web::BUCKET);
    for _ in 0..2 {
        let done = publish(&["-v", "oci:image", &bucket]);
        assert_eq!(done.code, 0, "{}", done.stderr);
    }
    assert!(publish(&["oci:image", &bucket]).stderr.contains("0 new"));
    std::thread::scope(|scope| {
        for name in &names {
            let (publish, bucket) = (&publish, &bucket);
            scope.spawn(move || {
                let done = publish(&[&format!("oci:{name}"), bucket]);
                assert_eq!(done.code, 0, "{}", done.stderr);
            });
        }
    });
    let list = web::ask(&store.host, "GET", "/plugins/below/v2/keepsake/tags/list");
    assert!(names.iter().all(|name| list.contains(&format!("\"{name}\""))), "{list}");
    let proxy =
        format!("server {{ listen LISTEN; location /v2/ {{ proxy_pass http://{}/{}/below/v2/; }} }}", store.host, web::BUCKET);
    if let Some(domain) = web::nginx(&proxy) {
        pulled_by_all(&domain, &digest);
    }
    let ours = |arguments: &[&str]| {
        let done = ran(plugin_build(&job.dir).args(arguments).arg(&bucket).envs(web::environment(&store)));
        assert_eq!(done.code, 0, "{arguments:?} {}", done.stderr);
        done.stdout
    };
    ours(&["unpublish", &format!("keepsake@{digest}")]);
    assert_eq!(ours(&["gc"]).lines().count(), 7);
    assert_eq!(ours(&["ls"]), "");
    let wrong =
        ran(plugin_build(&job.dir).args(["ls", &bucket]).envs(web::environment(&store)).env("AWS_SECRET_ACCESS_KEY", "x"));
    assert!(wrong.code == 0 || wrong.stderr.contains("SignatureDoesNotMatch"), "{}", wrong.stderr);
}

#[test]
#[ignore = "needs SeaweedFS, nginx, skopeo and podman"]
fn seaweedfs_takes_what_is_published() {
    judged_by(web::seaweed());
}

#[test]
#[ignore = "needs moto, nginx, skopeo and podman"]
fn moto_takes_what_is_published() {
    judged_by(web::moto());
}
