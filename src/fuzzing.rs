//! Doors for the fuzz targets to what is private otherwise. They exist only where cargo-fuzz builds.

/// Checks the reader of cookies; `data` are `Cookie` headers, one a line.
pub fn cookie(data: &[u8]) {
    crate::web::check_cookies(data);
}

/// Checks the reader of bearer credentials; `data` are `Authorization` headers, one a line.
pub fn bearer(data: &[u8]) {
    crate::web::check_bearer(data);
}

/// Checks what opens sealed sessions; `data` are `Cookie` headers, one a line, and the content of a seal.
#[cfg(feature = "sealed")]
pub fn sealed_cookie(data: &[u8]) {
    crate::web::check_sealed(data);
}

/// Checks what reads a segment of the journal; `data` is one, and says what to write into another.
pub fn journal(data: &[u8]) {
    crate::disk::check::journal(data);
}

/// Checks what reads the values of redb's tables.
pub fn meta(data: &[u8]) {
    crate::disk::check::meta(data);
}
