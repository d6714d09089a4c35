//! Access to private code for the fuzz targets. It exists only in cargo-fuzz builds.

/// Checks the reader of cookies; `data` are `Cookie` headers, one per line.
pub fn cookie(data: &[u8]) {
    crate::web::check_cookies(data);
}

/// Checks the reader of bearer credentials; `data` are `Authorization` headers, one per line.
pub fn bearer(data: &[u8]) {
    crate::web::check_bearer(data);
}

/// Checks the code that opens sealed sessions; `data` are `Cookie` headers, one per line, and the content of a seal.
#[cfg(feature = "sealed")]
pub fn sealed_cookie(data: &[u8]) {
    crate::web::check_sealed(data);
}

/// Checks the reader of journal segments; `data` is one, and determines what is written into another.
pub fn journal(data: &[u8]) {
    crate::disk::check::journal(data);
}

/// Checks the readers of the values in redb's tables.
pub fn meta(data: &[u8]) {
    crate::disk::check::meta(data);
}

/// Checks the readers of what a browser sends of its device; `data` is a proof, a challenge or a short cookie.
#[cfg(feature = "device-bound")]
pub fn device(data: &[u8]) {
    crate::proof::check(data);
}
