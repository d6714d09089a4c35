//! What encryption at rest costs: a read from the file, a durable commit, a commit and its way into the file, and in memory nothing.
//!
//! A store without a file shows what the processor does, since its syncs take no time; the one in a directory shows what is left of
//! that beside a sync of the disk.

use std::{hint::black_box, path::Path, time::Duration};

use sessile::{Builder, Durability, Session, Store, Token};
use sessile_benches::{Random, Target, USER_ID, compare, report, row, sized, write_typical};

fn main() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("there is room for two stores");
    // Confirmed from the beginning: a read writes nothing.
    let plain = Store::builder().unconfirmed_timeout(Duration::MAX);
    let sealed = plain.clone().encrypt([7; 32]);
    reads(dir.path(), &plain, &sealed);
    commits(dir.path(), &plain, &sealed);
    all_the_way(&plain, &sealed);
}

fn reads(dir: &Path, plain: &Builder, sealed: &Builder) {
    let sessions = sized(10_000, 200);
    let [plain, sealed] = [("plain", plain), ("sealed", sealed)].map(|(name, builder)| {
        let path = dir.join(name);
        let store = builder.clone().durability(Durability::Relaxed).open(&path).expect("the directory is new");
        let tokens: Vec<Token> = (0..sessions).map(|n| begin(&store, n)).collect();
        store.close().expect("the disk works");
        let bytes = std::fs::metadata(&path).expect("it is there").len() as f64 / sessions as f64;
        (builder.clone(), path, tokens, bytes)
    });
    let open = |(builder, path, _, _): &(Builder, _, _, _), memory| {
        builder.clone().disk_cache(64 << 20).memory_budget(memory).open(path).expect("it was closed")
    };
    for (id, what, memory, target) in [
        ("disk", "read of a session that is not in memory", 0, Target::AtMost(2.5)),
        ("memory", "read of a session that is in memory", usize::MAX, Target::AtMost(1.1)),
    ] {
        let (in_plain, in_sealed) = (open(&plain, memory), open(&sealed, memory));
        for (store, (_, _, tokens, _)) in [(&in_plain, &plain), (&in_sealed, &sealed)] {
            assert!((0..).zip(tokens).all(|(n, token)| user_of(store, token) == Some(n)));
        }
        let [from_plain, from_sealed] = compare(
            sized(2_000, 20),
            sized(100, 20),
            [&mut asking(&in_plain, &plain.2, 1), &mut asking(&in_sealed, &sealed.2, 2)],
        );
        report("encryption", &format!("{what}, encrypted"), from_sealed / from_plain, "x plain", target);
        row(&format!("{id}, plain"), &[(from_plain, "ns"), (plain.3, "bytes a session")]);
        row(&format!("{id}, encrypted"), &[(from_sealed, "ns"), (sealed.3, "bytes a session")]);
        row("added", &[(from_sealed - from_plain, "ns")]);
    }
}

fn commits(dir: &Path, plain: &Builder, sealed: &Builder) {
    let in_memory = |builder: &Builder| builder.clone().open_in_memory().expect("memory does not fail");
    let on_disk = |builder: &Builder, name: &str| builder.clone().open(dir.join(name)).expect("the directory is new");
    for (where_, target, rounds, calls, [one, other]) in [
        ("no disk to wait for", None, sized(1_000, 10), sized(100, 20), [in_memory(plain), in_memory(sealed)]),
        (
            "a directory",
            Some(Target::AtMost(1.25)),
            sized(500, 3),
            sized(10, 5),
            [on_disk(plain, "one"), on_disk(sealed, "other")],
        ),
    ] {
        let [in_plain, in_sealed] = compare(rounds, calls, [&mut writing(&one), &mut writing(&other)]);
        let what = format!("durable commit, one writer, {where_}");
        match target {
            Some(target) => report("encryption", &format!("{what}, encrypted"), in_sealed / in_plain, "x plain", target),
            None => println!("encryption {what}"),
        }
        row("plain", &[(in_plain / 1e3, "us")]);
        row("encrypted", &[(in_sealed / 1e3, "us")]);
        row("added", &[((in_sealed - in_plain) / 1e3, "us")]);
    }
}

/// New sessions, written to the journal and from there to the file: each is sealed twice.
fn all_the_way(plain: &Builder, sealed: &Builder) {
    let run = |builder: &Builder| {
        let builder = builder.clone().durability(Durability::Relaxed).memory_budget(usize::MAX);
        move |calls: usize| {
            let store = builder.clone().open_in_memory().expect("memory does not fail");
            for n in 0..calls {
                begin(&store, n as u64);
            }
            store.close().expect("memory does not fail");
        }
    };
    let calls = sized(5_000, 100);
    let [in_plain, in_sealed] = compare(sized(20, 2), calls, [&mut run(plain), &mut run(sealed)]);
    println!("encryption new session, journal and checkpoint, no disk to wait for");
    row("plain", &[(in_plain / 1e3, "us")]);
    row("encrypted", &[(in_sealed / 1e3, "us")]);
    row("added", &[((in_sealed - in_plain) / 1e3, "us")]);
}

fn begin(store: &Store, n: u64) -> Token {
    let session = store.session(None).expect("a new session needs no I/O");
    write_typical(&session, n);
    session.save().wait().expect("the disk works");
    session.token().expect("it was saved")
}

fn user_of(store: &Store, token: &Token) -> Option<u64> {
    let session: Session = store.session(Some(token)).expect("the disk works");
    session.get(USER_ID).expect("it is a number")
}

/// Each contestant asks in an order of its own.
fn asking(store: &Store, tokens: &[Token], seed: u64) -> impl FnMut(usize) {
    let mut random = Random(seed);
    move |calls| {
        for _ in 0..calls {
            black_box(user_of(store, &tokens[random.below(tokens.len())]));
        }
    }
}

/// Changes one session over and over.
fn writing(store: &Store) -> impl FnMut(usize) {
    let token = begin(store, 0);
    let mut visits = 0_u64;
    move |calls| {
        for _ in 0..calls {
            visits += 1;
            let session = store.session(Some(&token)).expect("it is in memory");
            session.insert("visits", visits).expect("it is small");
            session.save().wait().expect("the disk works");
        }
    }
}
