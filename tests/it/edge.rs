//! The Worker of `workers/edge`, in the runtime of Cloudflare with its local R2.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use plugin_oci::values::digest::Digest;

use crate::support::program::{done, plugin_build, ran};
use crate::support::sample::Sample;
use crate::support::tools::{optional, require, skip, stdout};

const TOKEN: &str = "correct-horse";

/// The Worker and what it needs, installed once as its lock file says.
fn installed() -> Option<(PathBuf, PathBuf)> {
    let (npm, node) = (require("npm")?, require("node")?);
    let version = stdout(Command::new(&node).arg("--version"));
    if version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0) < 20 {
        skip(&format!("miniflare does not start on node {version}"));
        return None;
    }
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("workers/edge");
    let lock = fs::read(sources.join("package-lock.json")).unwrap();
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("edge-{}", Digest::of(&lock).short().replace(':', "-")));
    fs::create_dir_all(&home).unwrap();
    for name in ["worker.js", "serve.mjs", "package.json", "package-lock.json"] {
        fs::copy(sources.join(name), home.join(name)).unwrap();
    }
    if !home.join("installed").exists() {
        let mut install = Command::new(npm);
        let output = install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&home).output().unwrap();
        if !output.status.success() {
            skip(&format!("npm cannot install miniflare: {}", String::from_utf8_lossy(&output.stderr)));
            return None;
        }
        fs::write(home.join("installed"), "").unwrap();
    }
    Some((node, home.join("serve.mjs")))
}

struct Edge {
    child: Child,
    host: String,
}

impl Drop for Edge {
    fn drop(&mut self) {
        // It ends with its input, and takes the runtime along.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

impl Edge {
    fn start(directory: &Path, variables: &serde_json::Value) -> Option<Self> {
        let (node, script) = installed()?;
        let mut command = Command::new(node);
        // The runtime takes no script beside the working directory.
        command.current_dir(script.parent().unwrap()).arg(&script).arg(directory).arg(variables.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let host = line.trim().trim_start_matches("http://").trim_end_matches('/').to_owned();
        assert!(!host.is_empty(), "it does not start");
        Some(Self { child, host })
    }

    /// The whole answer to a request.
    fn ask(&self, method: &str, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        let host = &self.host;
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n")
            .unwrap();
        let (mut reader, mut answer) = (BufReader::new(stream), Vec::new());
        while !answer.ends_with(b"\r\n\r\n") && reader.read_until(b'\n', &mut answer).unwrap() > 0 {}
        // It leaves the connection open, whatever it is told.
        let head = String::from_utf8_lossy(&answer).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        match length.unwrap_or(u64::MAX) {
            _ if method == "HEAD" => 0,
            length => reader.take(length).read_to_end(&mut answer).unwrap(),
        };
        String::from_utf8_lossy(&answer).into_owned()
    }
}

#[test]
#[ignore = "needs npm and skopeo"]
fn the_worker_serves_what_was_published_to_those_who_may() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let sample = Sample::image("greeter", 5000).with_referrer();
    sample.to_layout(&dir.join("image"));
    done(dir, &["publish", "oci:image", "site"]);
    done(dir, &["publish", "--name", "public/", "oci:image", "site"]);
    let tokens = format!("{} greeter other/*\n", Digest::of(TOKEN.as_bytes()).hex());
    let variables = serde_json::json!({"TOKENS": tokens, "ANONYMOUS": "public/*"});
    let Some(edge) = Edge::start(&dir.join("site"), &variables) else { return };
    let basic = |user: &str, token: &str| {
        format!("Authorization: Basic {}\r\n", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{token}")))
    };
    let (router, bearer) = (basic("router", TOKEN), format!("Authorization: Bearer {TOKEN}\r\n"));
    let digest = &sample.root().digest;
    let blob = &sample.layers_and_configs()[0];

    // Who may, and who may not.
    for (path, headers, status) in [
        ("/v2/", "", 401),
        ("/v2/", &*router, 200),
        ("/v2/", &*bearer, 200),
        ("/v2/", &*basic("router", "wrong"), 401),
        ("/v2/greeter/tags/list", "", 401),
        ("/v2/greeter/tags/list", &*basic("", ""), 401),
        ("/v2/greeter/tags/list", &*basic("anybody", TOKEN), 200),
        ("/v2/greeter/tags/list", "Authorization: Bearer wrong\r\n", 401),
        ("/v2/public/greeter/tags/list", "", 200),
        ("/v2/public/greeter/tags/list", &*basic("", ""), 200),
        ("/v2/public/greeter/tags/list", &*basic("router", "wrong"), 401),
        ("/v2/publicity/greeter/tags/list", &*router, 403),
        ("/v2/other/none/tags/list", &*router, 404),
        ("/v2/greeter/manifests/none", &*router, 404),
        ("/v2/greeter/manifests/sha256:x", &*router, 404),
        ("/v2/greeter/blobs/sha256:x", &*router, 400),
        ("/v2/greeter/blobs/..%2f..%2ftags", &*router, 404),
        ("/v2/public/../greeter/tags/list", "", 401),
        ("/_r/lock", &*router, 404),
        ("/", "", 404),
    ] {
        let answer = edge.ask("GET", path, headers);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {headers}: {answer}");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(answer.contains("WWW-Authenticate: Basic realm="), status == 401, "{answer}");
        if status >= 400 {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert!(body["errors"][0]["code"].is_string() && body["errors"][0]["message"].is_string());
        }
    }

    // What the specification wants of pulls.
    let index = "application/vnd.oci.image.index.v1+json";
    for (path, media_type, said) in [
        ("manifests/1.0".to_owned(), index, Some(digest)),
        (format!("manifests/{digest}"), index, Some(digest)),
        (format!("blobs/{blob}"), "application/octet-stream", Some(blob)),
        (format!("referrers/{digest}"), index, None),
        (format!("referrers/{}", Digest::of(b"nothing refers to it")), index, None),
        ("tags/list".to_owned(), "application/json", None),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = edge.ask(method, &format!("/v2/greeter/{path}"), &router);
            assert!(
                answer.starts_with("HTTP/1.1 200 ") && answer.contains(&format!("Content-Type: {media_type}\r\n")),
                "{answer}"
            );
            let body = answer.split_once("\r\n\r\n").unwrap().1;
            assert_eq!(body.is_empty(), method == "HEAD");
            assert_eq!(answer.contains("Docker-Content-Digest"), said.is_some(), "{answer}");
            assert!(said.is_none_or(|said| answer.contains(&format!("Docker-Content-Digest: {said}\r\n"))), "{answer}");
            assert!(!answer.contains("public"), "what a token opened is nobody else's: {answer}");
        }
    }
    let size = fs::metadata(dir.join("site/v2/greeter/blobs").join(blob.to_string())).unwrap().len();
    let whole = fs::read(dir.join("site/v2/greeter/manifests/1.0")).unwrap();
    for (range, status, wanted) in [
        ("bytes=0-0", 206, format!("Content-Range: bytes 0-0/{size}\r\n")),
        ("bytes=-1", 206, format!("Content-Range: bytes {}-{}/{size}\r\n", size - 1, size - 1)),
        ("bytes=1-", 206, format!("Content-Range: bytes 1-{}/{size}\r\n", size - 1)),
        ("bytes=0-99999999", 206, format!("Content-Length: {size}\r\n")),
        ("bytes=99999999-", 416, format!("Content-Range: bytes */{size}\r\n")),
        ("bytes=5-2", 200, format!("Content-Length: {size}\r\n")),
        ("lines=1-2", 200, format!("Content-Length: {size}\r\n")),
    ] {
        let answer = edge.ask("GET", &format!("/v2/greeter/blobs/{blob}"), &format!("{router}Range: {range}\r\n"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(&wanted), "{range}: {answer}");
    }
    for method in ["PUT", "POST", "DELETE", "PATCH"] {
        let answer = edge.ask(method, "/v2/greeter/manifests/1.0", &router);
        assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("\"UNSUPPORTED\""), "{answer}");
        let answer = edge.ask(method, "/v2/greeter/manifests/1.0", "");
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
    assert!(edge.ask("GET", "/v2/greeter/manifests/1.0", &router).ends_with(&String::from_utf8(whole).unwrap()));

    // Clients.
    done(dir, &["pull", &format!("{}/public/greeter:1.0", edge.host), "open"]);
    let auth = dir.join("auth.json");
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("router:{TOKEN}"));
    fs::write(&auth, serde_json::json!({"auths": {&edge.host: {"auth": pair}}}).to_string()).unwrap();
    let image = format!("{}/greeter:1.0", edge.host);
    let pull = |file: &Path| ran(plugin_build(dir).args(["pull", &image, "ours"]).arg("--authfile").arg(file)).code;
    assert_eq!(pull(&auth), 0);
    let nobody = dir.join("nobody.json");
    fs::write(&nobody, "{}").unwrap();
    assert_eq!(pull(&nobody), 1);
    let docker = dir.join("docker");
    fs::create_dir(&docker).unwrap();
    fs::copy(&auth, docker.join("config.json")).unwrap();
    if let Some(crane) = optional("crane") {
        let crane = |verb: &str, more: &[&str]| {
            let mut command = Command::new(&crane);
            stdout(command.args([verb, "--insecure", &image]).args(more).env("DOCKER_CONFIG", &docker).current_dir(dir))
        };
        assert_eq!(crane("digest", &[]).trim(), digest.to_string());
        crane("pull", &["--format", "oci", "cranes"]);
    }
    if let Some(oras) = optional("oras") {
        let mut copy = Command::new(oras);
        copy.args(["copy", "--from-plain-http", "--from-registry-config"]).arg(docker.join("config.json"));
        stdout(copy.args([&image, "--to-oci-layout"]).arg(format!("{}:1", dir.join("oras").display())));
    }
    let Some(skopeo) = require("skopeo") else { return };
    for (image, who) in [(image.clone(), &auth), (format!("{}/public/greeter:1.0", edge.host), &nobody)] {
        let mut copy = Command::new(&skopeo);
        copy.args(["copy", "--all", "--preserve-digests", "--src-tls-verify=false", "--authfile"]).arg(who);
        stdout(copy.arg(format!("docker://{image}")).arg(format!("oci:{}:1", dir.join("theirs").display())));
    }
    assert!(dir.join("theirs/blobs/sha256").join(digest.hex()).is_file());
}
