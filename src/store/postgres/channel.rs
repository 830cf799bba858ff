//! Channel binding, `tls-server-end-point` (RFC 5929): a hash of the server's certificate, with which a SCRAM password is proven to that
//! server alone. Whoever stands between, with another certificate, learns nothing and gets no further.

use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// How certificates are signed, and the hash that goes with it: that of the signature, but none below SHA-256.
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

/// The hash of a certificate; nothing where its signature has no hash of its own (Ed25519), for which none is defined.
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let identifier = signature_algorithm(certificate)?;
    let (_, algorithm) = ALGORITHMS.iter().find(|(known, _)| *known == identifier)?;
    Some(digest(algorithm, certificate).as_ref().to_vec())
}

/// A certificate is what was signed, then by which algorithm, then the signature (RFC 5280, 4.1).
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (parts, _) = element(certificate, SEQUENCE)?;
    let (_, parts) = element(parts, SEQUENCE)?;
    let (algorithm, _) = element(parts, SEQUENCE)?;
    element(algorithm, OBJECT_IDENTIFIER).map(|(identifier, _)| identifier)
}

/// The contents of the DER element of this kind that stands first, and what is behind it.
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
    fn a_certificate_is_hashed_as_it_is_signed() {
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
    fn what_is_no_certificate_has_no_hash() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/postgres/own.crt");
        let certificate = CertificateDer::from_pem_file(file).unwrap();
        for length in 0..certificate.len() {
            assert_eq!(end_point(&certificate[..length]), None);
        }
        assert_eq!(end_point(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(end_point(&[0x30, 0x80]), None);
    }
}
