//! The way through a proxy, as the environment names it. The registries have names that no resolver knows: what arrives has come
//! by the proxy.

use std::path::Path;
use std::process::Command;

use crate::support::docker_registry::DockerRegistry;
use crate::support::http_server::Reply;
use crate::support::memory_registry::{MemoryRegistry, Quirks};
use crate::support::program::{Ran, plugin_build, ran};
use crate::support::proxy::Proxy;
use crate::support::sample::Sample;
use crate::support::tools;

/// `proxy-user:proxy@secret`, as a header.
const PROXY_CREDENTIALS: &str = "Basic cHJveHktdXNlcjpwcm94eUBzZWNyZXQ=";
/// `me:registry-secret`, as a header.
const REGISTRY_CREDENTIALS: &str = "Basic bWU6cmVnaXN0cnktc2VjcmV0";

fn run(dir: &Path, variables: &[(&str, String)], arguments: &[&str]) -> Ran {
    let mut command = plugin_build(dir);
    command.envs(variables.iter().map(|(name, value)| (name, value))).args(arguments);
    let run = ran(&mut command);
    let said = format!("{}{}", run.stdout, run.stderr);
    for secret in ["proxy@secret", "proxy%40secret", "registry-secret", &PROXY_CREDENTIALS[6..], &REGISTRY_CREDENTIALS[6..]] {
        assert!(!said.contains(secret), "`{secret}` was shown:\n{said}");
    }
    run
}

#[test]
fn a_proxy_and_a_registry_each_see_their_own_credentials_only() {
    let registry = MemoryRegistry::scripted(Quirks::default(), |request, _| {
        let known = request.header("authorization") == Some(REGISTRY_CREDENTIALS);
        (!known).then(|| Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"").into())
    });
    let proxy = Proxy::start(registry.server.port, Some(PROXY_CREDENTIALS));
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let sample = Sample::image("proxied", 100_000);
    sample.to_layout(&dir.join("image"));
    let host = format!("registry.test:{}", registry.server.port);
    let entry = format!(r#"{{"auths":{{"{host}":{{"auth":"{}"}}}}}}"#, &REGISTRY_CREDENTIALS[6..]);
    std::fs::write(dir.join("auth.json"), entry).unwrap();
    let common = ["-vv", "--plain-http", "registry.test", "--authfile", "auth.json"];
    let repository = format!("{host}/proxied");
    let push =
        |variables: &[(&str, String)]| run(dir, variables, &[&["push"][..], &common, &["oci:image", &repository]].concat());

    let url = format!("http://proxy-user:proxy%40secret@127.0.0.1:{}", proxy.port);
    let variables = [("http_proxy", url)];
    let pushed = push(&variables);
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    let pulled = run(dir, &variables, &[&["pull"][..], &common, &[&format!("{repository}:1.0"), "pulled"]].concat());
    assert_eq!(pulled.code, 0, "{}", pulled.stderr);
    assert_eq!(registry.memory.tag("proxied", "1.0").as_ref(), Some(&sample.root().digest));

    let heads = proxy.take();
    assert!(!heads.is_empty());
    for head in heads {
        assert!(head.starts_with(&format!("CONNECT {host} HTTP/1.1\r\n")), "{head}");
        assert!(head.contains(PROXY_CREDENTIALS) && !head.contains(REGISTRY_CREDENTIALS), "{head}");
    }
    let log = registry.memory.log();
    assert!(log.iter().any(|request| request.header("authorization") == Some(REGISTRY_CREDENTIALS)));
    assert!(!format!("{log:?}").to_lowercase().contains("proxy"), "a registry behind a proxy need not know of it");

    let nobody = push(&[("http_proxy", format!("http://127.0.0.1:{}", proxy.port))]);
    assert_eq!(nobody.code, 1);
    assert!(nobody.stderr.contains("the proxy answered 407"), "{}", nobody.stderr);
    assert!(
        nobody.stderr.contains("by the proxy that `http_proxy` names") && nobody.stderr.contains("user:password@"),
        "{}",
        nobody.stderr
    );
}

#[test]
#[ignore = "needs openssl"]
fn the_variables_of_proxies_are_honoured_in_either_case() {
    let Some(openssl) = tools::require("openssl") else { return };
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let mut command = Command::new(openssl);
    command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=test registry"]);
    command.args(["-addext", "subjectAltName=DNS:registry.test", "-addext", "basicConstraints=critical,CA:FALSE"]);
    tools::stdout(command.args(["-keyout", "key.pem", "-out", "cert.pem"]).current_dir(dir));
    let Some(registry) = DockerRegistry::encrypted(&dir.join("cert.pem"), &dir.join("key.pem")) else { return };
    let port = registry.host.rsplit(':').next().unwrap().parse().unwrap();
    let (proxy, other) = (Proxy::start(port, None), Proxy::start(port, None));
    Sample::image("cases", 1000).to_layout(&dir.join("image"));
    let (url, elsewhere) = (format!("http://127.0.0.1:{}", proxy.port), format!("http://127.0.0.1:{}", other.port));
    let bare = url.trim_start_matches("http://").to_owned();
    let own = |name: &'static str| (name, url.clone());
    let exempt = |name: &'static str, list: &str| vec![own("HTTPS_PROXY"), (name, list.to_owned())];

    let through = [
        vec![own("HTTPS_PROXY")],
        vec![own("https_proxy")],
        vec![own("ALL_PROXY")],
        vec![own("all_proxy")],
        vec![("HTTPS_PROXY", bare)],
        vec![own("https_proxy"), ("HTTPS_PROXY", elsewhere.clone()), ("ALL_PROXY", elsewhere.clone())],
        exempt("NO_PROXY", "other.test, gistry.test, registry.test.example"),
        vec![own("HTTPS_PROXY"), ("no_proxy", "other.test".to_owned()), ("NO_PROXY", "*".to_owned())],
    ];
    let direct = [
        vec![],
        vec![own("HTTP_PROXY"), own("http_proxy")],
        exempt("NO_PROXY", "registry.test"),
        exempt("no_proxy", "other.test, .test"),
        exempt("no_proxy", "*"),
    ];
    let arguments = ["push", "--tls-ca", "cert.pem", "oci:image", "registry.test/cases"];
    for variables in through {
        let run = run(dir, &variables, &arguments);
        assert_eq!(run.code, 0, "{variables:?}: {}", run.stderr);
        let heads = proxy.take();
        assert!(heads.iter().all(|head| head.starts_with("CONNECT registry.test:443 ")) && !heads.is_empty(), "{heads:?}");
    }
    for variables in direct {
        let run = run(dir, &variables, &arguments);
        assert_eq!(run.code, 1, "{variables:?}: {}", run.stderr);
        assert!(run.stderr.contains("address"), "{variables:?}: {}", run.stderr);
        assert!(proxy.take().is_empty(), "{variables:?}");
    }
    assert!(other.take().is_empty());
    // A loopback registry is reached without any proxy.
    let honest = MemoryRegistry::honest();
    let near = format!("{}/near", honest.server.host());
    for name in ["http_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"] {
        let run = run(dir, &[own(name)], &["push", "oci:image", &near]);
        assert!(run.code == 0 && proxy.take().is_empty(), "{name}: {}", run.stderr);
    }
    let socks = run(dir, &[("ALL_PROXY", "socks5://proxy-user:proxy%40secret@127.0.0.1:1".to_owned())], &arguments);
    assert_eq!(socks.code, 2, "{}", socks.stderr);
    assert!(socks.stderr.contains("ALL_PROXY") && socks.stderr.contains("http://"), "{}", socks.stderr);
}

/// A registry on the network that is reached without encryption, and whoever sits between, is no door to this machine's services.
#[test]
fn a_registry_elsewhere_cannot_lead_to_services_of_this_machine() {
    let service = MemoryRegistry::honest();
    for name in [service.server.host(), service.server.alias()] {
        let registry = MemoryRegistry::scripted(Quirks::default(), move |request, _| {
            let location = format!("http://{name}{}", request.path);
            request.is("GET POST", "/v2/").then(|| Reply::new(307).header("Location", location).into())
        });
        let proxy = Proxy::start(registry.server.port, None);
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        Sample::image("inward", 1000).to_layout(&dir.join("image"));
        let variables = [("http_proxy", format!("http://127.0.0.1:{}", proxy.port))];
        let repository = format!("registry.test:{}/inward", registry.server.port);
        for arguments in [
            ["push", "--plain-http", "registry.test", "oci:image", &repository],
            ["pull", "--plain-http", "registry.test", &repository, "pulled"],
        ] {
            let run = run(dir, &variables, &arguments);
            assert!(run.code == 2 && run.stderr.contains("unencrypted"), "{} {}", run.code, run.stderr);
        }
        assert!(!registry.memory.log().is_empty());
    }
    assert!(service.memory.log().is_empty());
}
