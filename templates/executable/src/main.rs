//! Prints one of the phrases packed beside the program, or all of them.

use std::{
    env,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

const USAGE: &str = "usage: {{name}} [NUMBER]";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the arguments ask for, as text.
fn run(arguments: &[String]) -> Result<String, Box<dyn Error>> {
    let phrases = phrases()?;
    match arguments {
        [] => Ok(phrases.trim_end().to_owned()),
        [number] => {
            let number: usize = number.parse().map_err(|_| USAGE)?;
            let phrase = pick(&phrases, number).ok_or("there is no phrase of that number")?;
            Ok(phrase.to_owned())
        }
        _ => Err(USAGE.into()),
    }
}

/// The phrase of a number, counted from one.
fn pick(phrases: &str, number: usize) -> Option<&str> {
    phrases.lines().nth(number.checked_sub(1)?)
}

fn phrases() -> Result<String, Box<dyn Error>> {
    let path = asset("phrases.txt")?;
    fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()).into())
}

/// Where a packed file lies: in `share/` beside the program, or in `assets/` of the package when cargo runs us.
fn asset(name: &str) -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let packed = program.parent().unwrap_or(Path::new("/")).join("share");
    let directory = match env::var_os("CARGO_MANIFEST_DIR") {
        Some(package) if !packed.exists() => Path::new(&package).join("assets"),
        _ => packed,
    };
    Ok(directory.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_counted_from_one() {
        assert_eq!(pick("a\nb", 1), Some("a"));
        assert_eq!(pick("a\nb", 2), Some("b"));
        assert_eq!(pick("a\nb", 3), None);
        assert_eq!(pick("a\nb", 0), None);
    }
}
