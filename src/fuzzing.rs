//! Doors for the fuzz targets to what is private otherwise. They exist only where cargo-fuzz builds.

/// Checks the reader of cookies; `data` are `Cookie` headers, one a line.
pub fn cookie(data: &[u8]) {
    crate::web::check_cookies(data);
}
