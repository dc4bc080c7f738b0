//! What a certificate says of itself.

use std::time::SystemTime;

use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

use crate::failure::time;

/// The names of hosts in a certificate's subject alternative names. A common name is none: it has not been a name to
/// verify by since RFC 6125, and clients of all kinds pass over it.
#[must_use]
pub fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    certificate.valid_dns_names().map(str::to_owned).collect()
}

/// Why a certificate is not valid at this time, with both times; nothing when it is.
#[must_use]
pub fn validity_problem(certificate: &CertificateDer<'_>, now: SystemTime) -> Option<String> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // The time is judged before an issuer is looked for, of which there is none here.
    let usage = KeyUsage::server_auth();
    let verified = certificate.verify_for_usage(&[], &[], &[], UnixTime::since_unix_epoch(since), usage, None, None);
    match verified.err()? {
        Error::CertExpired { time: now, not_after } => {
            Some(format!("expired at {}, the clock says {}", time(not_after), time(now)))
        }
        Error::CertNotValidYet { time: now, not_before } => {
            Some(format!("is valid from {} on, the clock says {}", time(not_before), time(now)))
        }
        _ => None,
    }
}
