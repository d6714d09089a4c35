//! The certificate of all servers of a run. It is valid for any host, because the browser trusts its key by a flag.

use std::sync::{Arc, LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{CertifiedKey, KeyPair, PublicKeyData as _};
use sha2::{Digest as _, Sha256};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

static CERTIFIED: LazyLock<CertifiedKey<KeyPair>> = LazyLock::new(|| {
    let hosts = ["*.example.test", "*.test", "localhost"].map(str::to_owned);
    rcgen::generate_simple_self_signed(hosts).expect("these are host names")
});

/// Returns the acceptor that ends TLS with the certificate.
pub(crate) fn acceptor() -> TlsAcceptor {
    let CertifiedKey { cert, signing_key } = &*CERTIFIED;
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("the key was just made");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key))
        .expect("the certificate is of this key");
    TlsAcceptor::from(Arc::new(config))
}

/// Returns the certificate and the key in the form that proxies read from one file.
pub(crate) fn pem() -> String {
    CERTIFIED.cert.pem() + &CERTIFIED.signing_key.serialize_pem()
}

/// Returns the id of the key in Chromium: the hash of its public part.
pub(crate) fn key_hash() -> String {
    STANDARD.encode(Sha256::digest(CERTIFIED.signing_key.subject_public_key_info()))
}
