//! Progress on a terminal: what is drawn again and again fits on one line, whatever the width.

use std::process::Command;

use crate::support::http_server::Answer;
use crate::support::memory_registry::{MemoryRegistry, Quirks};
use crate::support::program::done;
use crate::support::sample::Sample;
use crate::support::tools::require;

/// What a terminal of so many columns is sent while an image is pulled.
fn drawn(columns: usize, image: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_cargo-plugin-build");
    let line = format!("stty cols {columns} rows 24; {program} pull {image} pulled");
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).current_dir(dir.path());
    script.env("TERM", "xterm").env_remove("NO_COLOR");
    let output = script.stdin(std::process::Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "needs script"]
fn progress_fits_the_terminal() {
    if require("script").is_none() {
        return;
    }
    // A layer that takes about two seconds to come.
    let registry = MemoryRegistry::scripted(Quirks::default(), |request, memory| {
        let blob = request.is("GET", "/blobs/").then(|| request.path.rsplit_once('/'))?;
        let bytes = memory.blob(&blob?.1.parse().ok()?).filter(|bytes| bytes.len() > 1_000_000)?;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
        Some(Answer::Slow([head.into_bytes(), bytes].concat()))
    });
    let dir = tempfile::tempdir().unwrap();
    Sample::image("large", 3_000_000).to_layout(&dir.path().join("layout"));
    let image = format!("{}/large:1.0", registry.server.host());
    done(dir.path(), &["push", "layout", &image]);
    for (columns, shown) in [(40, "% of 2.86 MiB"), (80, "eta "), (120, "/s eta ")] {
        let text = drawn(columns, &image);
        let lines: Vec<String> = text.split(['\r', '\n']).map(|line| anstream::adapter::strip_str(line).to_string()).collect();
        let bars: Vec<&String> = lines.iter().filter(|line| line.contains("Pulling")).collect();
        assert!(bars.iter().any(|line| line.contains(shown)), "at {columns}: {bars:?}");
        for line in bars {
            // After a line that is as wide as the terminal the next one begins by itself.
            let starts: Vec<usize> = line.match_indices("     Pulling").map(|(at, _)| at).collect();
            assert!(starts.iter().all(|at| at % columns == 0), "at {columns}: {line:?}");
            assert!(line.chars().count() <= columns * starts.len(), "at {columns}: {line:?}");
        }
    }
}
