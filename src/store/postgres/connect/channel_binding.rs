//! Channel binding of type `tls-server-end-point` (RFC 5929): a hash of the server's certificate,
//! which limits the proof of a SCRAM password to that server. A man in the middle with another
//! certificate learns nothing and cannot log in.

use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use tokio_postgres::config::ChannelBinding;

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// Signature algorithms of certificates, each with the hash for channel binding: the hash of the
/// signature, but at least SHA-256.
const ALGORITHMS: [(&[u8], &Algorithm); 9] = [
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04], &SHA256), // MD5, RSA
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05], &SHA256), // SHA-1, RSA
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b], &SHA256), // SHA-256, RSA
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c], &SHA384),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d], &SHA512),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01], &SHA256), // SHA-1, ECDSA
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02], &SHA256), // SHA-256, ECDSA
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03], &SHA384),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04], &SHA512),
];

/// Parses the parameter `channel_binding`: whether the password is proven only to the server at
/// which the TLS connection ends.
pub(super) fn parse(text: &str) -> Option<ChannelBinding> {
    Some(match text {
        "disable" => ChannelBinding::Disable,
        "prefer" => ChannelBinding::Prefer,
        "require" => ChannelBinding::Require,
        _ => return None,
    })
}

/// Returns the hash of a certificate. Returns `None` if its signature has no separate hash
/// (Ed25519), because no channel binding is defined for such certificates.
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let identifier = signature_algorithm(certificate)?;
    let (_, algorithm) = ALGORITHMS.iter().find(|(known, _)| *known == identifier)?;
    Some(digest(algorithm, certificate).as_ref().to_vec())
}

/// Returns the identifier of the signature algorithm. A certificate consists of the signed content,
/// the signature algorithm and the signature (RFC 5280, 4.1).
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (parts, _) = element(certificate, SEQUENCE)?;
    let (_, parts) = element(parts, SEQUENCE)?;
    let (algorithm, _) = element(parts, SEQUENCE)?;
    element(algorithm, OBJECT_IDENTIFIER).map(|(identifier, _)| identifier)
}

/// Returns the content of the first DER element, which must be of this kind, and the bytes after
/// it.
fn element(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk()?;
    if tag != kind {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn end_point_uses_hash_of_signature() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/postgres/own.crt");
        let certificate = CertificateDer::from_pem_file(file).unwrap();
        let hash = end_point(&certificate).unwrap();
        assert_eq!(hash, digest(&SHA256, &certificate).as_ref());

        let sha512 = [&[0x30, 0x0e, 0x30, 0x00, 0x30, 0x0a, 0x06, 0x08], ALGORITHMS[8].0].concat();
        assert_eq!(end_point(&sha512).unwrap().len(), 64);
        let ed25519 = [0x30, 0x09, 0x30, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
        assert_eq!(end_point(&ed25519), None);
    }

    #[test]
    fn end_point_of_invalid_certificate_is_none() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/postgres/own.crt");
        let certificate = CertificateDer::from_pem_file(file).unwrap();
        for length in 0..certificate.len() {
            assert_eq!(end_point(&certificate[..length]), None);
        }
        assert_eq!(end_point(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(end_point(&[0x30, 0x80]), None);
    }
}
