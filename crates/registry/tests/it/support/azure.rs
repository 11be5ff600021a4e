//! Azure's emulator, on loopback.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::client::Client;
use super::npm;
use super::web::{self, BUCKET, Web};

const VERSION: &str = "3.35.0";
/// The one account, and its key, which everybody knows (Microsoft's documentation of Azurite).
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Azurite with a container.
pub fn azurite() -> Option<Web> {
    let (node, home) = npm::installed(&[&format!("azurite@{VERSION}")])?;
    let web = web::start(|dir, port| {
        let mut command = Command::new(&node);
        command.arg(home.join("node_modules/azurite/dist/src/blob/main.js")).arg("--location").arg(dir);
        command.args(["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--blobPort"]).arg(port.to_string());
        command
    });
    // It does not look at the clock.
    let date = "Sun, 29 Nov 2026 00:00:00 GMT";
    let version = "2021-08-06";
    let headers = format!("x-ms-date:{date}\nx-ms-version:{version}\n");
    let signed = format!("PUT\n\n\n\n\n\n\n\n\n\n\n\n{headers}/{ACCOUNT}/{ACCOUNT}/{BUCKET}\nrestype:container");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &STANDARD.decode(KEY).unwrap());
    let signature = STANDARD.encode(ring::hmac::sign(&key, signed.as_bytes()));
    let authorization = format!("SharedKey {ACCOUNT}:{signature}");
    let headers = [("x-ms-date", date), ("x-ms-version", version), ("Authorization", &authorization)];
    Client::new(vec![web.host.clone()]).send("PUT", &format!("/{ACCOUNT}/{BUCKET}?restype=container"), &headers, b"").is(201);
    Some(web)
}

/// What leads to it.
pub fn environment(web: &Web) -> [(&'static str, String); 3] {
    [
        ("AZURE_STORAGE_USE_EMULATOR", "true".to_owned()),
        ("AZURITE_BLOB_STORAGE_URL", format!("http://{}", web.host)),
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.to_owned()),
    ]
}
