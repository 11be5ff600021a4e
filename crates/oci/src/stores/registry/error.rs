//! What goes wrong with registries. No message holds a secret, a query string, or a control character of a server.

use std::io;
use std::time::Duration;

use super::pace::{TooSlow, too_slow};
use super::url::Url;
use crate::failure::{Class, Failure};
use crate::fs::FileError;
use crate::stores::{RemoteError, StoreError};

/// Why a registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No connection.
    #[error("cannot reach {}{}{}", named(host, *is_registry), wanted(image.as_deref()), by(*proxy))]
    NoConnection {
        /// The host, with a port that is not the scheme's own.
        host: String,
        /// Whether it is the registry itself: otherwise a token server, or where a registry leads to.
        is_registry: bool,
        /// `host/repository`, where the request was for one.
        image: Option<String>,
        /// The variable that names the proxy in between.
        proxy: Option<&'static str>,
        /// The reason.
        source: TransportError,
    },
    /// No answer, or a broken one.
    #[error("failed to {method} {url}{}", by(*proxy))]
    Unreachable {
        /// The HTTP method.
        method: &'static str,
        /// The URL without its query.
        url: String,
        /// The variable that names the proxy in between.
        proxy: Option<&'static str>,
        /// The reason.
        source: TransportError,
    },
    /// An answer that is an error.
    #[error("{url} answered {status}{}", said(message))]
    Status {
        /// The URL without its query.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the server said, cleaned.
        message: String,
    },
    /// Not logged in, or not allowed.
    #[error("access to {what} was denied ({status}{})", said(message))]
    Denied {
        /// `host/repository`.
        what: String,
        /// The registry's host.
        host: String,
        /// Whether credentials were known.
        known: bool,
        /// The HTTP status.
        status: u16,
        /// What the server said, cleaned.
        message: String,
    },
    /// The registry deletes nothing, or not this.
    #[error("the registry does not remove {what} ({status}{})", said(message))]
    NoDeletion {
        /// `host/repository:tag` or `host/repository@digest`.
        what: String,
        /// The HTTP status.
        status: u16,
        /// What the server said, cleaned.
        message: String,
    },
    /// The registry deletes whole images only, and one has further tags.
    #[error("the registry removes no single tag, and {} name the same image as {what}", others.join(", "))]
    SharedTag {
        /// `host/repository:tag`.
        what: String,
        /// The other tags.
        others: Vec<String>,
        /// `docker://host/repository@digest`.
        image: String,
    },
    /// The registry does not list its repositories.
    #[error("{host} does not list its repositories{}", said(message))]
    NoCatalogue {
        /// The registry.
        host: String,
        /// What the server said, cleaned.
        message: String,
    },
    /// The registry knows no such user, or another password.
    #[error("wrong user or password for {host} (401{})", said(message))]
    WrongPassword {
        /// The registry's host.
        host: String,
        /// What the server said, cleaned.
        message: String,
    },
    /// An answer that breaks the protocol.
    #[error("{url} broke the protocol: {reason}")]
    Protocol {
        /// The URL without its query.
        url: String,
        /// What it did.
        reason: String,
    },
    /// The registry names content by another digest than what was asked or sent.
    #[error("{url} says its content is {found}, not {wanted}")]
    WrongDigest {
        /// The URL without its query.
        url: String,
        /// What was asked or sent.
        wanted: String,
        /// What the registry says.
        found: String,
    },
    /// An answer that is compressed, so that its bytes are not those that a digest names.
    #[error("{url} answers with content that is compressed ({encoding}), which was not asked for")]
    Encoded {
        /// The URL without its query.
        url: String,
        /// The `Content-Encoding`, cleaned.
        encoding: String,
    },
    /// A body that is longer than any honest one.
    #[error("{url} answers with more than the {limit} bytes that are read")]
    TooLong {
        /// The URL without its query.
        url: String,
        /// The cap.
        limit: u64,
    },
    /// Unencrypted HTTP to a host for which it was not allowed.
    #[error("{from} leads to {url}, which is unencrypted")]
    PlainHttp {
        /// Where the address came from.
        from: String,
        /// The host that would have to be trusted.
        host: String,
        /// The URL without its query.
        url: String,
    },
    /// The registry wants its password to be sent to a host of somebody else.
    #[error("the registry at {host} wants credentials to be sent to {realm}")]
    ForeignRealm {
        /// The registry.
        host: String,
        /// Host of the token server, with a port that is not the scheme's own.
        realm: String,
    },
    /// More than ten redirects.
    #[error("{url} redirects without end")]
    RedirectLoop {
        /// The first URL without its query.
        url: String,
    },
    /// The trust store or a `--tls-ca` file cannot be used.
    #[error("failed to load the trusted certificates{}", path.as_ref().map(|p| format!(" of `{p}`")).unwrap_or_default())]
    Trust {
        /// The file, where one was named.
        path: Option<String>,
        /// The reason.
        reason: String,
    },
    /// The proxy variable cannot be used. Its value may hold a password and is not shown.
    #[error("`{0}` does not hold the URL of an HTTP proxy")]
    Proxy(&'static str),
    /// An auth file or helper cannot be used.
    #[error("{0}")]
    Credentials(#[from] CredentialError),
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn named(host: &str, is_registry: bool) -> String {
    format!("{}`{host}`", if is_registry { "registry " } else { "" })
}

fn wanted(image: Option<&str>) -> String {
    image.map(|image| format!(" for `{image}`")).unwrap_or_default()
}

fn by(proxy: Option<&'static str>) -> String {
    proxy.map(|variable| format!(" by the proxy that `{variable}` names")).unwrap_or_default()
}

/// Why a connection failed.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The host has no address.
    #[error("the host has no address")]
    NoSuchHost,
    /// Nothing moved for too long.
    #[error("nothing moved for {} seconds", .0.as_secs())]
    Stalled(Duration),
    /// The head of an answer did not come.
    #[error("no answer came within {} seconds", .0.as_secs_f32())]
    Silent(Duration),
    /// Something moved, but not enough.
    #[error(transparent)]
    TooSlow(TooSlow),
    /// The peer speaks something else than TLS.
    #[error("it answers without TLS")]
    NotTls,
    /// The peer shows a certificate that is its own authority, as `openssl req -x509` makes one.
    #[error("TLS failed: its certificate is an authority's, and not a server's")]
    NotAServer,
    /// The machine refuses.
    #[error("nothing listens at {0}")]
    NoListener(String),
    /// TLS was refused.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The proxy opens no tunnel.
    #[error("the proxy answered {0}")]
    Refused(u16),
    /// The peer broke HTTP.
    #[error("the answer is no HTTP: {0}")]
    Http(String),
    /// The connection failed.
    #[error(transparent)]
    Io(io::Error),
}

impl TransportError {
    /// What a connection's own error means.
    pub(super) fn of_io(error: io::Error) -> Self {
        match too_slow(&error) {
            Some(slow) => Self::TooSlow(slow.clone()),
            None => Self::Io(error),
        }
    }

    /// Whether there was no connection at all.
    pub(super) fn is_of_connecting(&self) -> bool {
        use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
        match self {
            Self::NoSuchHost | Self::NotTls | Self::NotAServer | Self::NoListener(_) | Self::Tls(_) | Self::Refused(_) => true,
            Self::Io(error) => matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable),
            _ => false,
        }
    }

    /// Whether a second try may go better.
    pub(in crate::stores) fn is_passing(&self) -> bool {
        match self {
            Self::NoSuchHost | Self::NotTls | Self::NotAServer | Self::NoListener(_) | Self::Tls(_) | Self::Http(_) => false,
            Self::Io(error) => error.kind() != io::ErrorKind::ConnectionRefused,
            Self::Refused(status) => is_passing_status(*status),
            Self::Stalled(_) | Self::Silent(_) | Self::TooSlow(_) => true,
        }
    }
}

/// Why credentials cannot be read or stored.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file system said no.
    #[error("{0}")]
    File(#[from] FileError),
    /// Not the JSON of an auth file.
    #[error("`{path}` is no container auth file: {reason}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong, without any of its content.
        reason: &'static str,
    },
    /// A credential helper failed.
    #[error("the credential helper `docker-credential-{helper}` failed to {verb} ({reason}){}", self::said(said))]
    Helper {
        /// Its name without the prefix.
        helper: String,
        /// `get`, `store`, `erase`.
        verb: &'static str,
        /// Exit status or system error.
        reason: String,
        /// What it printed, cleaned.
        said: String,
    },
    /// No place to store credentials in.
    #[error("there is no auth file to write: neither HOME nor DOCKER_CONFIG nor REGISTRY_AUTH_FILE is set")]
    NoPlace,
}

impl Failure for CredentialError {
    fn class(&self) -> Class {
        match self {
            Self::Malformed { .. } | Self::NoPlace => Class::Usage,
            _ => Class::Failed,
        }
    }
}

impl RegistryError {
    pub(super) fn protocol(url: &Url, reason: impl Into<String>) -> Self {
        Self::Protocol { url: url.to_string(), reason: reason.into() }
    }

    /// Whether a second try may go better.
    pub(in crate::stores) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } | Self::NoConnection { source, .. } => source.is_passing(),
            Self::Status { status, .. } => is_passing_status(*status),
            _ => false,
        }
    }

    /// Whether what was asked for is not there.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Status { status: 404, .. })
    }

    /// Names the repository that a request was for.
    pub(super) fn of_repository(self, host: &str, repository: &str) -> Self {
        match self {
            Self::NoConnection { host: at, is_registry, proxy, source, .. } if !repository.is_empty() => {
                let image = Some(format!("{host}/{repository}"));
                Self::NoConnection { host: at, is_registry, image, proxy, source }
            }
            other => other,
        }
    }

    /// Whether the registry has refused to tell.
    pub(super) fn is_declined(&self) -> bool {
        match self {
            Self::Denied { .. } => true,
            Self::Status { status, .. } => is_declined_status(*status),
            _ => false,
        }
    }
}

/// 429 and the 5xx that say "later".
pub(in crate::stores) fn is_passing_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// A refusal of this request, and no word on others: what was only meant to save work, or to know more, goes without. A 500
/// that stays at every try is one: some servers have no better word for what they do not know.
pub(super) fn is_declined_status(status: u16) -> bool {
    matches!(status, 400..=501) && !matches!(status, 401 | 408 | 429)
}

impl Failure for RegistryError {
    fn class(&self) -> Class {
        match self {
            Self::PlainHttp { .. } | Self::ForeignRealm { .. } | Self::Trust { .. } | Self::Proxy(_) => Class::Usage,
            Self::Credentials(error) => error.class(),
            _ => Class::Failed,
        }
    }
}

impl From<RegistryError> for StoreError {
    fn from(error: RegistryError) -> Self {
        Self::Remote(RemoteError::new(error))
    }
}

/// What a server wrote, safe for a terminal: no control or direction-changing characters, one line, at most 300 characters.
pub(in crate::stores) fn clean(text: &str) -> String {
    let direction = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let spaced = text.chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c });
    let kept: String = spaced.filter(|c| !c.is_control() && !direction(*c)).take(300).collect();
    kept.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_cannot_write_to_the_terminal() {
        assert_eq!(clean("\u{1b}[31mred\u{7}\r\nnext\u{9b}1m \u{202e}x"), "[31mred  next1m x");
        assert_eq!(clean(&"a".repeat(1000)).len(), 300);
    }
}
