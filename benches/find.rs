//! T1: from the bytes of a cookie to one value of its session, beside a bare map with the same parse, hash and read.

use std::{
    hash::{BuildHasherDefault, Hasher},
    hint::black_box,
    sync::Arc,
};

use hashbrown::HashMap;
use sessile::{Store, Token};
use sessile_benches::{Random, Target, USER_ID, block_on, compare, report, row, sessile_store, sized, tower_store, typical};
use sessile_codec::{Entry, Limits, Meta, Patch, Record};
use sha2::{Digest, Sha256};
use tower_sessions::MemoryStore;

fn main() {
    for sessions in sized(vec![10_000, 100_000, 1_000_000], vec![1_000, 10_000]) {
        bench(sessions);
    }
}

fn bench(sessions: usize) {
    // The bare map first, in a heap without holes, and with ids of its own.
    let mut random = Random(0);
    let bare_cookies: Vec<String> = (0..sessions).map(|_| cookie(&random_token(&mut random))).collect();
    let map: Map = bare_cookies.iter().zip(0..).map(|(cookie, n)| (key_of(cookie), record(&key_of(cookie), n))).collect();
    let (store, tokens) = sessile_store(sessions as u64);
    let cookies: Vec<String> = tokens.iter().map(|token| cookie(&token.expose())).collect();

    for n in [0, sessions / 2, sessions - 1] {
        let expected = Some(n as u64);
        assert_eq!(in_map(&map, &bare_cookies[n]), expected);
        assert_eq!(in_store(&store, &cookies[n]), expected);
        assert_eq!(in_session(&store, &cookies[n]), expected);
    }
    assert_eq!(store.stats().disk_hits, 0, "all of them are in memory");

    let [bare, entry, session] = compare(
        sized(10_000, 400),
        100,
        [
            &mut asking(1, &bare_cookies, |cookie| in_map(&map, cookie)),
            &mut asking(2, &cookies, |cookie| in_store(&store, cookie)),
            &mut asking(3, &cookies, |cookie| in_session(&store, cookie)),
        ],
    );
    let what = format!("find a session and read one key, {} k sessions", sessions / 1000);
    report("T1", &what, entry / bare, "x bare map", Target::AtMost(1.3));
    row("bare hashbrown map", &[(bare, "ns"), (1.0, "x")]);
    row("sessile, `Store::entry`", &[(entry, "ns"), (entry / bare, "x")]);
    row("sessile, `Store::session` and `get`", &[(session, "ns"), (session / bare, "x")]);
    drop((store, map));
    // A million sessions of tower-sessions take several GB.
    if sessions <= 100_000 {
        let tower = tower(sessions);
        row("tower-sessions, MemoryStore", &[(tower, "ns"), (tower / bare, "x")]);
    }
}

fn tower(sessions: usize) -> f64 {
    let (store, ids) = tower_store(sessions as u64);
    let cookies: Vec<String> = ids.iter().map(|id| cookie(id)).collect();
    assert_eq!(in_tower(&store, &cookies[7]), Some(7));
    compare(sized(100, 10), 200, [&mut asking(4, &cookies, |cookie| in_tower(&store, cookie))])[0]
}

/// Asks for sessions at random. Each contestant has a seed of its own, so that none finds in the processor's caches what
/// another has just brought there.
fn asking(seed: u64, cookies: &[String], find: impl Fn(&str) -> Option<u64>) -> impl FnMut(usize) {
    let mut random = Random(seed);
    move |calls| {
        for _ in 0..calls {
            black_box(find(&cookies[random.below(cookies.len())]));
        }
    }
}

fn cookie(value: &str) -> String {
    format!("theme=dark; __Host-id={value}")
}

/// A text that could be a token.
fn random_token(random: &mut Random) -> String {
    (0..32).map(|_| char::from(ALPHABET[random.below(64)])).collect()
}

/// The value of the session's cookie. All contestants read it with this.
fn value_of(cookie: &str) -> Option<&str> {
    cookie.split(';').find_map(|pair| pair.trim_start_matches(' ').strip_prefix("__Host-id="))
}

fn in_store(store: &Store, cookie: &str) -> Option<u64> {
    let token = Token::parse(value_of(cookie)?.as_bytes())?;
    store.entry(&token, USER_ID).expect("memory does not fail")?.get().ok()
}

fn in_session(store: &Store, cookie: &str) -> Option<u64> {
    let token = Token::parse(value_of(cookie)?.as_bytes())?;
    let session = store.session(Some(&token)).expect("memory does not fail");
    session.get(USER_ID).expect("it is a number")
}

fn in_tower(store: &Arc<MemoryStore>, cookie: &str) -> Option<u64> {
    let id = value_of(cookie)?.parse().ok()?;
    let session = tower_sessions::Session::new(Some(id), store.clone(), None);
    block_on(session.get(USER_ID)).expect("it is a number")
}

fn in_map(map: &Map, cookie: &str) -> Option<u64> {
    map.get(&key_of(cookie))?.get(USER_ID)?.get().ok()
}

type Key = [u8; 16];
type Map = HashMap<Key, Record, BuildHasherDefault<Identity>>;

/// A record as the store has it.
fn record(key: &Key, user_id: u64) -> Record {
    let (mut patch, limits) = (Patch::new(), Limits::default());
    for (name, value) in typical(user_id) {
        let entry = Entry::serde(&value, &limits).expect("it is small");
        patch.set(name, entry, &limits).expect("it is small");
    }
    patch.apply(None, key, &Meta::default(), &limits).expect("it is small")
}

/// The record key of the token in a cookie: the same decoding and the same hash as the library's, which shows neither.
fn key_of(cookie: &str) -> Key {
    let text: &[u8; 32] = value_of(cookie).expect("it is there").as_bytes().try_into().expect("a token has 32 characters");
    let mut bytes = [0; 24];
    let mut bad = 0;
    for (four, three) in text.as_chunks::<4>().0.iter().zip(bytes.as_chunks_mut::<3>().0) {
        let mut bits = 0_u32;
        for character in four {
            let value = VALUES[usize::from(*character)];
            bad |= value;
            bits = bits << 6 | u32::from(value & 63);
        }
        three.copy_from_slice(&bits.to_be_bytes()[1..]);
    }
    assert!(bad & 0x80 == 0, "a token is base64url");
    *Sha256::digest(&bytes[..16]).first_chunk().expect("a SHA-256 has 32 bytes")
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The six bits of each character of base64url.
const VALUES: [u8; 256] = {
    let mut values = [0x80; 256];
    let mut at = 0;
    while at < ALPHABET.len() {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values
};

/// Keys are hashes already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // An array writes its length before its content, as an integer; that is not this.
        self.0 = u64::from_le_bytes(*bytes.first_chunk().expect("a key has 16 bytes"));
    }

    fn write_usize(&mut self, _: usize) {}
}
