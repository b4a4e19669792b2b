//! How PostgreSQL is reached: the URL, TLS, and the first word of an error that says what to do.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::DbError;
use crate::StoreError;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After this much silence on a connection in use it is looked after, and given up when nothing answers.
const SILENCE: Duration = Duration::from_secs(20);

/// What a URL asks of a server's certificate; the words are libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verify {
    /// `disable`, `allow`, `prefer`, `require`: whatever it is.
    Nothing,
    /// `verify-ca`: it must come from a known authority.
    Authority,
    /// `verify-full`: and be this server's.
    Name,
}

/// What carries a connection's bytes.
pub(super) type Wire = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
    /// Without password, for messages.
    shown: Arc<str>,
}

/// The URL without what libpq knows and `tokio-postgres` does not, and what that said.
fn split(url: &str) -> Result<(String, Verify, Option<String>), String> {
    let Some((front, query)) = url.split_once('?') else { return Ok((url.to_owned(), Verify::Nothing, None)) };
    let (mut kept, mut verify, mut root) = (Vec::new(), Verify::Nothing, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", "verify-full")) => {
                verify = Verify::Name;
                kept.push("sslmode=require");
            }
            Some(("sslmode", "verify-ca")) => {
                verify = Verify::Authority;
                kept.push("sslmode=require");
            }
            Some(("sslmode", "allow")) => kept.push("sslmode=prefer"),
            Some(("sslmode", mode)) if !["disable", "prefer", "require"].contains(&mode) => {
                return Err(format!(
                    "sslmode={mode} is none of disable, allow, prefer, require, verify-ca and verify-full"
                ));
            }
            Some(("sslrootcert", file)) => root = Some(file.replace("%2F", "/")),
            _ => kept.push(pair),
        }
    }
    let url = if kept.is_empty() { front.to_owned() } else { format!("{front}?{}", kept.join("&")) };
    Ok((url, verify, root))
}

/// A URL without its password.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split_once(':').map_or(user, |(name, _)| name);
            format!("{scheme}://{user}@{host}{}", &rest[end..])
        }
        None => url.to_owned(),
    }
}

/// The certificates of authorities: those of a file, else those of the system.
fn roots(file: Option<&str>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(file) => {
            use rustls::pki_types::pem::PemObject;
            let unreadable = |error: &dyn std::fmt::Display| format!("sslrootcert {file} cannot be read: {error}");
            for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))? {
                let certificate = certificate.map_err(|error| unreadable(&error))?;
                roots.add(certificate).map_err(|error| unreadable(&error))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
    }
    Ok(roots)
}

/// Takes any certificate, or any of a known authority: what `sslmode` asks for short of `verify-full`.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    authority: Option<Arc<rustls::client::WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use rustls::CertificateError::{NotValidForName, NotValidForNameContext};
        let Some(authority) = &self.authority else { return Ok(ServerCertVerified::assertion()) };
        match authority.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn tls(verify: Verify, root: Option<&str>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be used: {error}"))?;
    let config = match verify {
        Verify::Name => builder.with_root_certificates(roots(root)?).with_no_client_auth(),
        Verify::Authority | Verify::Nothing => {
            let authority = match verify {
                Verify::Authority => Some(
                    rustls::client::WebPkiServerVerifier::builder_with_provider(
                        Arc::new(roots(root)?),
                        provider.clone(),
                    )
                    .build()
                    .map_err(|error| format!("certificates cannot be checked: {error}"))?,
                ),
                _ => None,
            };
            let lenient = Arc::new(Lenient { provider, authority });
            builder.dangerous().with_custom_certificate_verifier(lenient).with_no_client_auth()
        }
    };
    Ok(config)
}

impl Connector {
    /// From a URL as libpq has it: `postgres://user:password@host:port/database?sslmode=verify-full`.
    pub(super) fn new(url: &str) -> Result<Self, StoreError> {
        let shown: Arc<str> = without_password(url).into();
        let wrong = |why: String| StoreError::Open(format!("{shown} is no address of a PostgreSQL database: {why}"));
        let (url, verify, root) = split(url).map_err(&wrong)?;
        let mut config = Config::from_str(&url).map_err(|error| {
            let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), |source| source.to_string());
            wrong(why)
        })?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        config.keepalives(true).keepalives_idle(SILENCE).keepalives_interval(SILENCE / 4).keepalives_retries(3);
        config.tcp_user_timeout(SILENCE);
        // Without TLS there is nothing to be set up for it.
        let verify = if config.get_ssl_mode() == SslMode::Disable { Verify::Nothing } else { verify };
        let tls = MakeRustlsConnect::new(tls(verify, root.as_deref()).map_err(wrong)?);
        Ok(Self { config, tls, shown })
    }

    /// The URL without its password.
    pub(super) fn shown(&self) -> &Arc<str> {
        &self.shown
    }

    /// What makes the pool's connections.
    pub(super) fn parts(&self, name: &str) -> (Config, MakeRustlsConnect) {
        (self.named(name), self.tls.clone())
    }

    fn named(&self, name: &str) -> Config {
        let mut config = self.config.clone();
        config.application_name(format!("regatta {name}"));
        config
    }

    /// A connection of its own. Its work is done by the runtime that waits for it.
    pub(super) async fn connect(&self, name: &str) -> Result<Client, DbError> {
        let (client, connection) = self.listen(name).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to PostgreSQL ended");
            }
        });
        Ok(client)
    }

    /// A connection whose work, and what it hears, is the caller's.
    pub(super) async fn listen(&self, name: &str) -> Result<(Client, Wire), DbError> {
        let unreachable = |error: &tokio_postgres::Error| {
            let source = std::error::Error::source(error);
            DbError::Unreachable(format!("{}: {}", self.shown, source.map_or(error.to_string(), |why| why.to_string())))
        };
        let config = self.named(name);
        let connecting = config.connect(self.tls.clone());
        match tokio::time::timeout(2 * CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(error)) if error.as_db_error().is_some() => Err(error.into()),
            Ok(Err(error)) => Err(unreachable(&error)),
            Err(_) => Err(DbError::Unreachable(format!("{}: no answer", self.shown))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libpqs_words_for_tls_are_understood() {
        let split = |url| split(url).unwrap();
        assert_eq!(split("postgres://h/d"), ("postgres://h/d".into(), Verify::Nothing, None));
        let (url, verify, root) = split("postgres://h/d?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&x=y");
        assert_eq!((url.as_str(), verify), ("postgres://h/d?sslmode=require&x=y", Verify::Name));
        assert_eq!(root.as_deref(), Some("/etc/ca.pem"));
        assert_eq!(split("postgres://h/d?sslmode=verify-ca").1, Verify::Authority);
        assert!(super::split("postgres://h/d?sslmode=yes").is_err());
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(without_password("postgres://u:se@cret@h:5/d?a=b"), "postgres://u@h:5/d?a=b");
        assert_eq!(without_password("postgres://h/d"), "postgres://h/d");
    }

    #[test]
    fn an_address_that_is_none_is_told() {
        let error = Connector::new("postgres://h:port/d").err().unwrap().to_string();
        assert!(error.contains("postgres://h:port/d is no address of a PostgreSQL database"), "{error}");
    }
}
