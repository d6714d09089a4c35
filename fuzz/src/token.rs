//! Tokens and handles as text: what is accepted is printed as it was, and nothing else is accepted.

use sessile::{Handle, Token};

/// Reads `data` as a token and as a handle.
pub fn run(data: &[u8]) {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let token = Token::parse(data);
    assert_eq!(token.is_some(), data.len() == 32 && data.iter().all(is_base64));
    if let Some(token) = token {
        assert_eq!(token.expose().as_bytes(), data);
        assert_eq!(Token::parse(token.expose().as_bytes()), Some(token));
        assert_eq!(format!("{token:?}"), "Token([redacted])");
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let handle = text.parse::<Handle>();
    assert_eq!(handle.is_ok(), data.len() == 16 && data.iter().all(is_hex));
    if let Ok(handle) = handle {
        assert_eq!(handle.to_string(), text);
    }
}
