//! TLS: whom to believe that it is the server.
//!
//! The system's roots, read as OpenSSL would (`SSL_CERT_FILE` and `SSL_CERT_DIR` count): a company's own authority is
//! installed there once for all programs. A file of one's own takes their place.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::{Error, Result};

/// How connections are made safe; `https` says whether any is, and roots are read only then.
///
/// # Errors
/// [`Error::Options`] when the file cannot be read, or there are no roots at all.
pub(crate) fn config(https: bool, ca: Option<&Path>) -> Result<Arc<ClientConfig>> {
    let roots = match (https, ca) {
        (false, _) => RootCertStore::empty(),
        (true, Some(ca)) => from_file(ca)?,
        (true, None) => from_system()?,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Options(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn from_file(ca: &Path) -> Result<RootCertStore> {
    let refuse = |why: &dyn std::fmt::Display| {
        Error::Options(format!(
            "the certificates in {} cannot be used ({why}); give a PEM file with those of the authority that signed the server's",
            ca.display()
        ))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| refuse(&error))? {
        roots.add(certificate.map_err(|error| refuse(&error))?).map_err(|error| refuse(&error))?;
    }
    if roots.is_empty() { Err(refuse(&"there is none")) } else { Ok(roots) }
}

fn from_system() -> Result<RootCertStore> {
    let mut found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(std::mem::take(&mut found.certs));
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(Error::Options(format!(
            "the system's certificates cannot be used ({why}); install its package ca-certificates, or name the \
             authority's with --tls-ca or REGATTA_TLS_CA"
        )));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_with_what_to_give() {
        let dir = std::env::temp_dir().join(format!("regatta-tls-{}", std::process::id()));
        std::fs::write(&dir, "no certificate").unwrap();
        for file in [dir.as_path(), Path::new("/nowhere/ca.pem")] {
            let error = config(true, Some(file)).unwrap_err().to_string();
            assert!(error.contains("cannot be used") && error.contains("PEM"), "{error}");
            assert!(config(false, Some(file)).is_ok());
        }
        std::fs::remove_file(dir).unwrap();
    }
}
