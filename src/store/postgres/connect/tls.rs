//! TLS by rustls, as strict as `sslmode` requires.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::tls::TlsConnect;

use super::channel_binding;
use super::endpoint::Endpoint;
use super::socket::Socket;
use super::ssl_mode::{SYSTEM, SslMode};
use crate::record::time;

/// Wraps a socket in TLS.
pub(super) struct TlsConnector {
    config: Arc<ClientConfig>,
    host: ServerName<'static>,
}

impl TlsConnector {
    /// Reads the files that the endpoint names. They are read again for each connection, so that
    /// they can be renewed. The error is a complete sentence.
    pub(super) fn new(endpoint: &Endpoint, host: &str) -> Result<TlsConnector, String> {
        let provider = Arc::new(ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let verifier = Arc::new(Verifier { policy: Policy::new(endpoint, &provider)?, algorithms });
        let builder = ClientConfig::builder_with_details(provider, Arc::new(Clock))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be used: {error}"))?
            .dangerous() // rustls's name for custom verifiers
            .with_custom_certificate_verifier(verifier);
        let config = match &endpoint.client_certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
                builder
                    .with_client_auth_cert(chain, private)
                    .map_err(|error| format!("{} cannot be used: {error}", certificate.display()))?
            }
        };
        let host = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("`{host}` is not a name that a certificate can have"))?;
        Ok(TlsConnector { config: Arc::new(config), host })
    }
}

/// The clock for the validity of certificates. (The default of rustls panics before 1970.)
#[derive(Debug)]
struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(time::now() / time::SECOND).unwrap_or(0);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    read().map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &rustls::pki_types::pem::Error) -> String {
    format!("{} cannot be read: {error}", path.display())
}

impl TlsConnect<Socket> for TlsConnector {
    type Stream = Socket;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Socket>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let stream = tokio_rustls::TlsConnector::from(self.config).connect(self.host, socket).await?;
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let end_point = certificate.and_then(|certificate| channel_binding::end_point(certificate));
            Ok(Socket::encrypted(stream, end_point))
        })
    }
}

/// Verifies a server's certificate as strictly as the policy requires.
#[derive(Debug)]
struct Verifier {
    policy: Policy,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
enum Policy {
    /// Encrypts without verifying the server: `allow`, `prefer` and `require`.
    AnyServer,
    /// Accepts certificates that an authority in a file has signed, and certificates in the file
    /// itself: `verify-ca` and `verify-full`.
    Authorities {
        verifier: Arc<WebPkiServerVerifier>,
        named: Vec<CertificateDer<'static>>,
        /// The certificate must have been issued for the host.
        requires_name: bool,
    },
}

impl Policy {
    fn new(endpoint: &Endpoint, provider: &Arc<CryptoProvider>) -> Result<Policy, String> {
        if endpoint.ssl_mode < SslMode::VerifyCa {
            return Ok(Policy::AnyServer);
        }
        let path = endpoint.root_certificates.as_deref().ok_or(
            "no file of certificate authorities was found: set one with `sslrootcert`, or put it into \
             ~/.postgresql/root.crt, or say `sslrootcert=system`",
        )?;
        Policy::authorities(path, endpoint.ssl_mode == SslMode::VerifyFull, provider)
    }

    fn authorities(
        path: &Path,
        requires_name: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Policy, String> {
        let (named, all) = match path == Path::new(SYSTEM) {
            true => (Vec::new(), rustls_native_certs::load_native_certs().certs),
            false => (certificates(path)?, certificates(path)?),
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(all);
        if roots.is_empty() {
            return Err(format!("there is no certificate of an authority in {}", path.display()));
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| format!("{} cannot be used: {error}", path.display()))?;
        Ok(Policy::Authorities { verifier, named, requires_name })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext, Other};
        let Policy::Authorities { verifier, named, requires_name } = &self.policy else {
            return Ok(ServerCertVerified::assertion());
        };
        match verifier.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // The name is checked last, after everything else was found to be valid.
            Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
                if !requires_name =>
            {
                Ok(ServerCertVerified::assertion())
            }
            // A self-signed certificate that is in the file. Such a certificate, made as
            // PostgreSQL's manual describes, claims to be an authority, and rustls does not accept
            // an authority as a server. Only its name remains to be checked: the dates were checked
            // before, and there is no other signature.
            Err(rustls::Error::InvalidCertificate(Other(error))) if is_of_an_authority(&error) => {
                if !named.contains(certificate) {
                    return Err(CertificateError::UnknownIssuer.into());
                }
                if *requires_name {
                    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Returns true if the certificate is that of an authority. rustls has no type for this error, only
/// webpki's name of it.
fn is_of_an_authority(error: &rustls::OtherError) -> bool {
    error.to_string().contains("CaUsedAsEndEntity")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/postgres/own.crt");
    const STRANGER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/postgres/stranger.crt");

    /// Verifies `own.crt`, which is self-signed and issued for `localhost`, in a year.
    fn verdict(file: &str, requires_name: bool, name: &str, year: u64) -> Result<(), rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let policy = Policy::authorities(Path::new(file), requires_name, &provider).unwrap();
        let verifier = Verifier { policy, algorithms: provider.signature_verification_algorithms };
        let own = certificates(Path::new(OWN)).unwrap().remove(0);
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 31_557_600));
        verifier.verify_server_cert(&own, &[], &name, &[], now).map(|_| ())
    }

    #[test]
    fn self_signed_certificate_is_accepted_if_named() {
        assert_eq!(verdict(OWN, true, "localhost", 2030), Ok(()));
        assert_eq!(verdict(OWN, false, "db.example", 2030), Ok(()));
        for (file, requires_name, name, year, told) in [
            (OWN, true, "db.example", 2030, "not valid for name"),
            (OWN, true, "localhost", 2200, "expired"),
            (OWN, false, "localhost", 2020, "not valid yet"),
            (STRANGER, false, "localhost", 2030, "UnknownIssuer"),
            (SYSTEM, true, "localhost", 2030, "UnknownIssuer"),
        ] {
            let error = verdict(file, requires_name, name, year).unwrap_err().to_string();
            assert!(error.contains(told), "{file} {name} {year}: {error}");
        }
    }
}
