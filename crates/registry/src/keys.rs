//! The secrets that sign what clients bring back. The first key signs, every key is accepted: so they are changed one after
//! another, without a moment at which something good is refused.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

/// How many bytes a key has.
const LENGTH: usize = 32;

/// The keys, the newest first.
pub struct Keys(Vec<hmac::Key>);

impl Keys {
    /// Reads lines of 32 bytes in unpadded base64url, the newest first; what follows `#` is not read.
    pub fn parse(text: &str) -> Option<Self> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).filter(|line| !line.is_empty());
        let keys: Option<Vec<hmac::Key>> = lines
            .map(|line| {
                let bytes = URL_SAFE_NO_PAD.decode(line).ok().filter(|bytes| bytes.len() == LENGTH)?;
                Some(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
            })
            .collect();
        keys.filter(|keys| !keys.is_empty()).map(Self)
    }

    /// Writes a new key before those of a file, which nobody else may read.
    pub fn add_to(path: &Path) -> io::Result<()> {
        let old = match fs::read_to_string(path) {
            Ok(old) => old,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        // Mode 0600 from its first moment.
        let mut temp = plugin_oci::fs::TempFile::new_in(dir).map_err(io::Error::other)?;
        temp.write_all(format!("{}\n{old}", URL_SAFE_NO_PAD.encode(random::<LENGTH>())).as_bytes())?;
        temp.persist(path, 0o600).map_err(io::Error::other)
    }

    /// Signs some bytes for a purpose: `BYTES.SIGNATURE`, both in unpadded base64url.
    pub(crate) fn sign(&self, purpose: &str, bytes: &[u8]) -> String {
        let signature = hmac::sign(&self.0[0], &message(purpose, bytes));
        format!("{}.{}", URL_SAFE_NO_PAD.encode(bytes), URL_SAFE_NO_PAD.encode(signature))
    }

    /// The bytes that were signed for this purpose.
    pub(crate) fn verified(&self, purpose: &str, signed: &str) -> Option<Vec<u8>> {
        let (bytes, signature) = signed.split_once('.')?;
        let (bytes, signature) = (URL_SAFE_NO_PAD.decode(bytes).ok()?, URL_SAFE_NO_PAD.decode(signature).ok()?);
        let message = message(purpose, &bytes);
        self.0.iter().any(|key| hmac::verify(key, &message, &signature).is_ok()).then_some(bytes)
    }
}

fn message(purpose: &str, bytes: &[u8]) -> Vec<u8> {
    [purpose.as_bytes(), b"\0", bytes].concat()
}

/// Bytes that nobody can guess. Without randomness nothing may go on.
fn random<const COUNT: usize>() -> [u8; COUNT] {
    let mut bytes = [0; COUNT];
    SystemRandom::new().fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

/// A name that nobody else has, and nobody guesses.
pub(crate) fn unguessable() -> String {
    URL_SAFE_NO_PAD.encode(random::<16>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_rotate_and_purposes_are_kept_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        Keys::add_to(&path).unwrap();
        let read = || Keys::parse(&fs::read_to_string(&path).unwrap()).unwrap();
        let old = read();
        let signed = old.sign("x", b"content");
        Keys::add_to(&path).unwrap();
        let new = read();
        assert_eq!(new.verified("x", &signed).as_deref(), Some(&b"content"[..]));
        assert_eq!(new.verified("y", &signed), None);
        assert_eq!(old.verified("x", &new.sign("x", b"content")), None);
        assert!(Keys::parse("").is_none() && Keys::parse("short").is_none());
    }
}
