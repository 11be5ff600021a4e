//! The socket that the router calls by.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// A bound socket's file, removed when dropped.
#[derive(Debug)]
pub struct Socket {
    /// Where it is.
    pub path: PathBuf,
}

impl Socket {
    /// Binds a fresh name in `directory`, for this user only. Names are short: a socket's path has about 100 bytes.
    ///
    /// # Errors
    /// When the directory takes no socket.
    pub fn bind(directory: &Path) -> io::Result<(Self, tokio::net::UnixListener)> {
        let process = std::process::id();
        for attempt in 0..100_u32 {
            let path = directory.join(format!("plugin-{process}-{attempt}"));
            match tokio::net::UnixListener::bind(&path) {
                Ok(listener) => {
                    let socket = Self { path };
                    fs::set_permissions(&socket.path, fs::Permissions::from_mode(0o600))?;
                    return Ok((socket, listener));
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The router removes what is left of its own directory.
        let _ = fs::remove_file(&self.path);
    }
}
