//! G8: neither the file nor a Debug print contains a usable token.

use std::fs;

use sessile::SessionLayer;

use crate::support::{OnDisk, saved};

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Returns the bytes of a token's characters.
fn raw(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = text.chars().map(|c| format!("{:06b}", ALPHABET.find(c).unwrap())).collect::<Vec<_>>().concat();
    (0..bits.len() / 8).map(|at| u8::from_str_radix(&bits[at * 8..at * 8 + 8], 2).unwrap()).collect()
}

#[test]
fn g8_neither_file_holds_a_token() {
    let disk = OnDisk::new();
    let tokens: Vec<_> = (0..20)
        .map(|n| {
            let (session, _) = saved(&disk.store, n);
            session.sign_in("ada").unwrap();
            session.set_label("Firefox").unwrap();
            session.rotate();
            session.save().wait().unwrap();
            session.token().unwrap()
        })
        .collect();
    // First all of it is in the journal, then in the file.
    let mut searched = Vec::new();
    for is_closed in [false, true] {
        if is_closed {
            disk.store.close().unwrap();
        }
        let files: Vec<_> = fs::read_dir(disk.dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        for path in files {
            let file = fs::read(&path).unwrap();
            for token in &tokens {
                let text = token.expose();
                let bytes = raw(&text);
                let (random, tag) = bytes.split_at(16);
                // The random part would be enough for a request.
                for secret in [text.as_bytes(), random, tag, hex(random).as_bytes(), hex(random).to_uppercase().as_bytes()] {
                    assert!(!contains(&file, secret), "{}", path.display());
                }
            }
            if contains(&file, b"Firefox") {
                searched.push(path.file_name().unwrap().to_string_lossy().into_owned());
            }
        }
    }
    assert!(searched.iter().any(|name| name.contains("journal")) && searched.iter().any(|name| name == "sessions.redb"));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

#[test]
fn g8_no_debug_print_holds_a_token_or_a_value() {
    let disk = OnDisk::new();
    let (session, token) = saved(&disk.store, 1);
    session.insert("password", "hunter2").unwrap();
    let entry = session.entry("password").unwrap();
    let ack = session.save();
    let layer = SessionLayer::new(disk.store.clone());
    let prints = [
        format!("{session:?}"),
        format!("{token:?}"),
        format!("{:?}", disk.store),
        format!("{entry:?}"),
        format!("{ack:?}"),
        format!("{layer:?}"),
        format!("{:?}", session.handle()),
        format!("{:?}", disk.store.stats()),
    ];
    for print in prints {
        assert!(!print.contains(&token.expose()), "{print}");
        assert!(!print.contains("hunter2"), "{print}");
    }
}

#[cfg(unix)]
#[test]
fn g8_the_file_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt;

    let disk = OnDisk::new();
    let mode = fs::metadata(disk.dir.path().join("sessions.redb")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
