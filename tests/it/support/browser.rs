//! A browser without a screen, driven as people drive it (W3C `WebDriver`).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::tools::require;

/// The name of an element in answers (`WebDriver`, "Elements").
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A running browser; stopped when dropped.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// It ends where nobody would read what it says.
    _said: BufReader<ChildStdout>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// `None` without Chromium.
    pub fn start() -> Option<Self> {
        let (driver, chromium) = (require("chromedriver")?, require("chromium")?);
        let mut driver = Command::new(driver).arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut said = BufReader::new(driver.stdout.take().unwrap());
        let ready = " was started successfully on port ";
        let port = said
            .by_ref()
            .lines()
            .map(Result::unwrap)
            .find_map(|line| line.split_once(ready)?.1.trim_end_matches('.').parse().ok());
        let port = port.unwrap();
        let profile = tempfile::tempdir().unwrap();
        let mut flags: Vec<String> = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "hide-scrollbars"]
            .into_iter()
            .chain(["disable-background-networking", "disable-component-update", "disable-dev-shm-usage", "disable-sync"])
            .map(|flag| format!("--{flag}"))
            .collect();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"binary": chromium, "args": flags},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let mut browser = Self { driver, port, session: String::new(), _said: said, _profile: profile };
        browser.post("", &wanted)["sessionId"].as_str().unwrap().clone_into(&mut browser.session);
        Some(browser)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", path, &body.to_string())
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let session = if self.session.is_empty() { String::new() } else { format!("/{}", self.session) };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = body.len();
        let request = format!(
            "{method} /session{session}{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        // The driver keeps the connection, whatever it is told.
        let mut answer = BufReader::new(stream);
        let lines = answer.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty());
        let head: Vec<String> = lines.map(|line| line.to_ascii_lowercase()).collect();
        let length = head.iter().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap();
        let mut body = String::new();
        answer.take(length).read_to_string(&mut body).unwrap();
        assert!(head[0].starts_with("http/1.1 200"), "{method} {path}: {body}");
        serde_json::from_str::<Value>(&body).unwrap()["value"].take()
    }

    /// Opens a page in a window of this width.
    pub fn open(&self, url: &str, width: u32) {
        self.post("/window/rect", &json!({"width": width, "height": 900}));
        self.post("/url", &json!({"url": url}));
    }

    /// Follows the link with this text.
    pub fn click(&self, text: &str) {
        let found = self.post("/element", &json!({"using": "link text", "value": text}));
        self.post(&format!("/element/{}/click", found[ELEMENT].as_str().unwrap()), &json!({}));
    }

    /// What a script gives back.
    pub fn eval(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": format!("return {script}"), "args": []}))
    }

    /// A picture of the window, as PNG in base64.
    pub fn screenshot(&self) -> String {
        self.ask("GET", "/screenshot", "").as_str().unwrap().to_owned()
    }

    /// What the console said since it was last asked.
    pub fn console(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({"type": "browser"}));
        entries.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.ask("DELETE", "", "");
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
