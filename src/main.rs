//! The `cargo plugin-build` program.

fn main() -> std::process::ExitCode {
    plugin_build::cli::main()
}
