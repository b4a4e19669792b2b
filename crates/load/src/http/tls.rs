//! TLS: rustls, with the roots that the system trusts (`SSL_CERT_FILE` names others).

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::fault::Fault;
use super::target::Target;

/// What secures connections; made once for all threads. `more` is a PEM file with certificates to trust beside the
/// system's.
///
/// # Errors
/// When the file cannot be read, or nobody is trusted.
pub fn config(more: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    // Some systems carry certificates that nobody can read any more; the others count.
    roots.add_parsable_certificates(found.certs);
    if let Some(file) = more {
        let wrong = |why: String| format!("{} cannot be used as a file of certificates: {why}", file.display());
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))?.collect();
        let certificates = certificates.map_err(|error| wrong(error.to_string()))?;
        if roots.add_parsable_certificates(certificates).0 == 0 {
            return Err(wrong("it holds none".to_owned()));
        }
    }
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!("this system has no root certificates{why}: name a file of them with SSL_CERT_FILE"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The same, for servers that shall speak HTTP/2.
pub fn for_http2(config: &ClientConfig) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// The name that a server's certificate must carry.
///
/// # Errors
/// When it can be in no certificate.
pub fn name(target: &Target) -> Result<ServerName<'static>, Fault> {
    ServerName::try_from(target.host.clone()).map_err(|_| Fault::Tls("its host's name can be in no certificate".into()))
}
