//! Why TLS failed, in words that say what to do.

use std::error;
use std::fmt::Display;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// The failure of a connection that may be one of TLS.
#[must_use]
pub fn of(error: &(dyn error::Error + 'static)) -> String {
    let mut next = Some(error);
    while let Some(cause) = next {
        let inside = cause.downcast_ref::<io::Error>().and_then(|error| error.get_ref()?.downcast_ref::<Error>());
        if let Some(error) = cause.downcast_ref::<Error>().or(inside) {
            return of_tls(error);
        }
        next = cause.source();
    }
    error.to_string()
}

/// The failure of a request.
#[must_use]
pub fn of_http(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => of(error),
        ureq::Error::Rustls(error) => of_tls(error),
        // Its own words have the whole URL, in whose query may stand what lets in.
        ureq::Error::RequireHttpsOnly(_) => "it leads on to where no TLS is spoken".to_owned(),
        ureq::Error::Protocol(_) => {
            format!("what answers there does not speak HTTP ({error}): it may speak https only")
        }
        other => other.to_string(),
    }
}

fn of_tls(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "what answers there does not speak TLS: it may speak plain http, or plain MQTT".to_owned()
        }
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::NoCertificatesPresented => "it has shown no certificate".to_owned(),
        other => format!("TLS: {other}"),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::ExpiredContext { time: now, not_after } => format!(
            "its certificate expired at {}, the clock here says {}: have it renewed, or set the clock",
            time(*not_after),
            time(*now)
        ),
        CertificateError::NotValidYetContext { time: now, not_before } => format!(
            "its certificate is valid from {} on, the clock here says {}: set the clock",
            time(*not_before),
            time(*now)
        ),
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "its certificate is not for {}, but for {}",
            expected.to_str(),
            if presented.is_empty() { "no host at all".to_owned() } else { presented.join(", ") }
        ),
        CertificateError::UnknownIssuer => {
            "the issuer of its certificate is not known here: name the authority's file, if you trust it".to_owned()
        }
        CertificateError::BadSignature => "its certificate is not signed by whom it names as its issuer".to_owned(),
        other => format!("its certificate: {other}"),
    }
}

/// What the other side says is wrong with this one.
fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => "it wants a certificate of who connects: name one, with its key",
        AlertDescription::UnknownCA => "it does not know the issuer of the certificate that was shown to it",
        AlertDescription::CertificateExpired => {
            "by its clock the certificate that was shown to it has expired, or is not valid yet"
        }
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            "it does not take the certificate that was shown to it"
        }
        AlertDescription::ProtocolVersion => "it speaks no TLS as new as 1.2",
        AlertDescription::HandshakeFailure => "it has no way of encryption in common, or wants a certificate",
        other => return format!("it ends the connection with the alert {other:?}"),
    }
    .to_owned()
}

pub(crate) fn time(time: UnixTime) -> impl Display {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(time.as_secs()))
}
