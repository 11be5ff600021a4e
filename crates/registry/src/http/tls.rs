//! TLS, by rustls over ring.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// A certificate with its chain, and its key.
#[derive(Clone)]
pub struct Tls(pub(super) TlsAcceptor);

impl Tls {
    /// Reads both from PEM.
    pub fn read(certificates: &Path, key: &Path) -> Result<Self, String> {
        let failed = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificates).and_then(Iterator::collect);
        let chain = chain.map_err(|error| failed(certificates, &error))?;
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, &error))?;
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, secret);
        Ok(Self(TlsAcceptor::from(Arc::new(config.map_err(|error| failed(certificates, &error))?))))
    }
}
