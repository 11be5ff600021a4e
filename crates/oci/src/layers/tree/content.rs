//! Where a file's bytes come from, and its permission bits.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::TreeError;

/// Where a file's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file on this machine, opened when the layer is made.
    Disk {
        /// Where it is.
        path: PathBuf,
        /// How many bytes it had when it was added.
        size: u64,
    },
    /// Bytes made by this program.
    Memory(Arc<[u8]>),
}

impl Content {
    /// The bytes of a regular file on disk; a symbolic link is followed.
    pub fn of_file(path: &Path) -> Result<Self, TreeError> {
        let metadata = std::fs::metadata(path).map_err(|source| TreeError::Inspect { path: path.to_owned(), source })?;
        if !metadata.is_file() {
            return Err(TreeError::Special { path: path.to_owned() });
        }
        Ok(Self::Disk { path: path.to_owned(), size: metadata.len() })
    }

    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        match self {
            Self::Disk { size, .. } => *size,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }
}

/// Permission bits, 0 to 0777.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(u32);

impl Mode {
    /// 0755: programs and directories.
    pub const EXECUTABLE: Self = Self(0o755);
    /// 0644: everything else.
    pub const PLAIN: Self = Self(0o644);

    /// The permission bits of `bits`; setuid, setgid and sticky are dropped.
    pub const fn of_bits(bits: u32) -> Self {
        Self(bits & 0o777)
    }

    /// The bits.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let octal = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        match u32::from_str_radix(text, 8) {
            Ok(bits) if octal && bits <= 0o777 => Ok(Self(bits)),
            _ => Err(format!("`{text}` is not a file mode (want octal digits, 0000 to 0777, such as `0644`)")),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_octal_permission_bits_are_a_mode() {
        assert_eq!("0644".parse(), Ok(Mode::PLAIN));
        assert_eq!("755".parse(), Ok(Mode::EXECUTABLE));
        assert_eq!(Mode::PLAIN.to_string(), "0644");
        for bad in ["", "+644", "0o644", "0999", "4755", "1777", "00644", " 644", "rw-r--r--"] {
            assert!(bad.parse::<Mode>().is_err(), "{bad}");
        }
    }
}
