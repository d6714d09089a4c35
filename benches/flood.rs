//! G7: what it costs to be flooded with ids that lead nowhere.

use sessile::{Store, Token};
use sessile_benches::{Random, Target, compare, report, row, sessile_store, sessile_store_on, sized};
use sessile_fault_disk::FaultDisk;

fn main() {
    let count = sized(20_000, 2_000);
    let mut random = Random(1);
    let invented: Vec<Token> = (0..count).map(|_| random_token(&mut random)).collect();
    let foreign = sessile_store(count).1;
    let changed: Vec<Token> = sessile_store(count).1.iter().map(other_last_character).collect();
    let disk = FaultDisk::new(0);
    let (store, tokens) = sessile_store_on(&disk, 1000);
    let dead = destroyed(&store, sized(5_000, 500));

    let before = store.stats();
    assert_eq!(finds(&store, &invented) + finds(&store, &foreign) + finds(&store, &changed), 0);
    assert_eq!(finds(&store, &tokens), tokens.len());
    let after = store.stats();
    assert_eq!(after.forged - before.forged, 3 * count, "each was known by its MAC");

    let [hit, gone, invented_ns, foreign_ns, changed_ns] = compare(
        sized(2_000, 100),
        100,
        [
            &mut asking(&store, &tokens),
            &mut asking(&store, &dead),
            &mut asking(&store, &invented),
            &mut asking(&store, &foreign),
            &mut asking(&store, &changed),
        ],
    );
    assert_eq!((store.stats().disk_hits, store.stats().syncs), (before.disk_hits, before.syncs));

    for (what, ids) in [("forged", &invented), ("foreign", &foreign), ("changed", &changed), ("dead", &dead)] {
        let before = operations(&disk);
        assert_eq!(finds(&store, ids), 0);
        let each = (operations(&disk) - before) as f64 / ids.len() as f64;
        report("G7", &format!("{what} ids, operations of the disk"), each, "each", Target::AtMost(0.0));
    }

    // With the file closed every look at it is an error, so what still gets an answer did without.
    store.close().expect("memory does not fail");
    assert!(store.session(Some(&dead[0])).is_err());
    let io = [&invented, &foreign, &changed].into_iter().flatten().filter(|token| store.session(Some(token)).is_err()).count();
    report("G7", "forged ids, looks at the file", io as f64, "of all", Target::AtMost(0.0));
    report("G7", "forged id", changed_ns / hit, "x a session that is found", Target::AtMost(2.0));
    row("a session that is there", &[(hit, "ns")]);
    row("32 characters that nobody issued", &[(invented_ns, "ns")]);
    row("a token of another store", &[(foreign_ns, "ns")]);
    row("a token with one character changed", &[(changed_ns, "ns")]);
    row("a destroyed session, looked up in the file", &[(gone, "ns")]);
}

/// How often the disk was asked for anything. Pages that the database has in its cache are no question.
fn operations(disk: &FaultDisk) -> u64 {
    disk.counts().operations.values().sum()
}

fn random_token(random: &mut Random) -> Token {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let text: Vec<u8> = (0..32).map(|_| alphabet[random.below(64)]).collect();
    Token::parse(&text).expect("it is base64url")
}

fn other_last_character(token: &Token) -> Token {
    let mut text = token.expose().into_bytes();
    text[31] = if text[31] == b'A' { b'B' } else { b'A' };
    Token::parse(&text).expect("it is base64url")
}

/// Tokens of sessions that were, and are gone from the file too.
fn destroyed(store: &Store, count: usize) -> Vec<Token> {
    let tokens = (0..count).map(|_| {
        let session = store.session(None).expect("a new session needs no I/O");
        session.insert("n", 1).expect("it is small");
        session.save().wait().expect("memory does not fail");
        let token = session.token().expect("it was saved");
        session.destroy();
        drop(session.save());
        token
    });
    let tokens = tokens.collect();
    store.flush().wait().expect("memory does not fail");
    tokens
}

fn finds(store: &Store, tokens: &[Token]) -> usize {
    tokens.iter().filter(|token| store.session(Some(token)).is_ok_and(|session| session.token().is_some())).count()
}

fn asking(store: &Store, tokens: &[Token]) -> impl FnMut(usize) {
    let mut tokens = tokens.iter().cycle();
    move |calls| {
        for token in tokens.by_ref().take(calls) {
            assert!(store.session(Some(token)).is_ok());
        }
    }
}
