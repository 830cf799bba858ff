//! The parameter `sslmode`: whether TLS is used, and how the server is verified.

use std::path::Path;

use tokio_postgres::config::SslMode as Negotiation;

/// The value of `sslrootcert` that selects the certificate authorities of the system.
pub(super) const SYSTEM: &str = "system";

/// Whether and how TLS is used. Unix sockets never use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SslMode {
    /// Never.
    Disable,
    /// If the server refuses a connection without TLS.
    Allow,
    /// If the server supports it.
    Prefer,
    /// Always, without verifying the server.
    Require,
    /// Always, with a certificate that an authority in `sslrootcert` has signed.
    VerifyCa,
    /// Always, with a certificate that was also issued for the host.
    VerifyFull,
}

impl SslMode {
    pub(super) fn parse(text: &str) -> Option<SslMode> {
        Some(match text {
            "disable" => SslMode::Disable,
            "allow" => SslMode::Allow,
            "prefer" => SslMode::Prefer,
            "require" => SslMode::Require,
            "verify-ca" => SslMode::VerifyCa,
            "verify-full" => SslMode::VerifyFull,
            _ => return None,
        })
    }

    /// Returns the mode that applies, as in libpq. If authorities are named, certificates are
    /// verified with them. A certificate of an authority that everyone trusts proves something only
    /// together with the name.
    pub(super) fn resolve(
        mode: Option<SslMode>,
        root_certificates: Option<&Path>,
    ) -> Result<SslMode, String> {
        match (mode, root_certificates) {
            (None | Some(SslMode::VerifyFull), Some(path)) if path == Path::new(SYSTEM) => {
                Ok(SslMode::VerifyFull)
            }
            (_, Some(path)) if path == Path::new(SYSTEM) => {
                Err("with `sslrootcert=system`, `sslmode` can only be `verify-full`".into())
            }
            (Some(SslMode::Require), Some(_)) => Ok(SslMode::VerifyCa),
            (mode, _) => Ok(mode.unwrap_or(SslMode::Prefer)),
        }
    }

    /// Returns what to request from a server, in this order, until the server agrees.
    pub(super) fn negotiations(self) -> &'static [Negotiation] {
        match self {
            SslMode::Disable => &[Negotiation::Disable],
            SslMode::Allow => &[Negotiation::Disable, Negotiation::Require],
            SslMode::Prefer => &[Negotiation::Prefer, Negotiation::Disable],
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Negotiation::Require],
        }
    }
}
