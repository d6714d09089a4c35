//! Reads cookies a second time, as plainly as possible, to check the reader: for tests and the fuzz target.

use http::HeaderValue;

use super::parse::candidates;

/// Checks [`candidates`] against a plain reading of the same headers, which are the lines of `data`.
pub(crate) fn check(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n');
    let headers: Vec<HeaderValue> = lines.filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    for name in ["__Host-id", "id", "a"] {
        let found: Vec<&[u8]> = candidates(&headers, name.as_bytes()).collect();
        assert_eq!(found, plainly(&headers, name.as_bytes()), "cookies named {name}");
    }
}

/// Returns what [`candidates`] must return, read in the opposite order: first all pairs, then their names and values, then
/// ours.
fn plainly(headers: &[HeaderValue], name: &[u8]) -> Vec<Vec<u8>> {
    let mut pairs: Vec<Vec<u8>> = Vec::new();
    for header in headers {
        pairs.push(Vec::new());
        for byte in header.as_bytes() {
            match (*byte, pairs.last_mut()) {
                (b';', _) => pairs.push(Vec::new()),
                (byte, Some(pair)) => pair.push(byte),
                (_, None) => unreachable!("each header begins a pair"),
            }
        }
    }
    let mut values = Vec::new();
    for pair in pairs {
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { continue };
        if trim_plainly(&pair[..equals]) == name {
            values.push(trim_plainly(&pair[equals + 1..]));
        }
    }
    values.truncate(8);
    values
}

fn trim_plainly(bytes: &[u8]) -> Vec<u8> {
    let is_space = |byte: &&u8| [b' ', b'\t'].contains(*byte);
    let mut reversed: Vec<u8> = bytes.iter().skip_while(is_space).copied().collect();
    reversed.reverse();
    let mut trimmed: Vec<u8> = reversed.iter().skip_while(is_space).copied().collect();
    trimmed.reverse();
    trimmed
}
