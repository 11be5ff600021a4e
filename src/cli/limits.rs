//! The limits of unpacking as flags.

use clap::Args;

use plugin_oci::layers::unpack::Limits;

/// Upper bounds on what an image may cost.
#[derive(Debug, Clone, Default, Args)]
#[expect(clippy::struct_field_names, reason = "the flags are called so")]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Bytes of all layers together, uncompressed [default: 4 GiB]
    #[arg(long, value_name = "BYTES")]
    max_bytes: Option<u64>,
    /// Uncompressed bytes per compressed byte of a layer, past its first 64 MiB [default: 200]
    #[arg(long, value_name = "N")]
    max_ratio: Option<u64>,
    /// Entries of all layers together [default: 1000000]
    #[arg(long, value_name = "N")]
    max_entries: Option<u64>,
    /// Bytes of one path [default: 4096]
    #[arg(long, value_name = "BYTES")]
    max_path: Option<usize>,
    /// Directories above one another [default: 256]
    #[arg(long, value_name = "N")]
    max_depth: Option<usize>,
    /// Directories stepped into on the way to the entries of all layers together [default: 1000000]
    #[arg(long, value_name = "N")]
    max_steps: Option<u64>,
    /// Bytes of the targets of all symbolic links [default: 16 MiB]
    #[arg(long, value_name = "BYTES")]
    max_link_bytes: Option<u64>,
    /// Bytes of memory for the paths of all directories [default: 16 MiB]
    #[arg(long, value_name = "BYTES")]
    max_directory_bytes: Option<usize>,
    /// Base two logarithm of a zstd layer's window [default: 23, that is 8 MiB]
    #[arg(long, value_name = "LOG", value_parser = clap::value_parser!(u32).range(10..=31))]
    max_zstd_window: Option<u32>,
}

impl LimitArgs {
    /// The limits: the defaults where no flag says otherwise.
    pub fn limits(&self) -> Limits {
        let defaults = Limits::default();
        Limits {
            unpacked_bytes: self.max_bytes.unwrap_or(defaults.unpacked_bytes),
            ratio: self.max_ratio.unwrap_or(defaults.ratio),
            entries: self.max_entries.unwrap_or(defaults.entries),
            path_bytes: self.max_path.unwrap_or(defaults.path_bytes),
            depth: self.max_depth.unwrap_or(defaults.depth),
            steps: self.max_steps.unwrap_or(defaults.steps),
            link_bytes: self.max_link_bytes.unwrap_or(defaults.link_bytes),
            directory_bytes: self.max_directory_bytes.unwrap_or(defaults.directory_bytes),
            zstd_window_log: self.max_zstd_window.unwrap_or(defaults.zstd_window_log),
            ..defaults
        }
    }
}
