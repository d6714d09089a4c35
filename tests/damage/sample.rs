//! The store that is damaged, how, and what it may do then.

use std::{
    env,
    error::Error as _,
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use sessile::{Store, Token, testing::ManualClock};
use sessile_fault_disk::FaultDisk;

use crate::OTHERS;

/// Sessions in the store.
const SESSIONS: usize = 300;
const PAGE: usize = 4096;

/// How a file is damaged.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Flip,
    Cut,
    Zero,
    Swap,
    Extend,
}

pub(crate) const KINDS: [(&str, Kind); 5] =
    [("flip", Kind::Flip), ("cut", Kind::Cut), ("zero", Kind::Zero), ("swap", Kind::Swap), ("extend", Kind::Extend)];

/// What came of one case.
pub(crate) enum Outcome {
    /// Everything is there.
    Harmless,
    /// Sessions are absent or cannot be read.
    Absent,
    /// A typed error at open.
    Refused,
    Failed(String),
}

/// A store with sessions in the database and in the journal, as a killed process leaves it.
pub(crate) struct Sample {
    disk: FaultDisk,
    sessions: Vec<(Token, String)>,
    /// File, offset and length of each value, to know whose bytes a flip hits.
    places: Vec<(String, usize, usize)>,
}

/// The value of the `nth` session: long enough that most of a file's bytes in use are values.
fn value(nth: usize) -> String {
    format!("{nth:04}-").repeat(60 + nth % 7)
}

/// The same in every process.
fn clock() -> ManualClock {
    ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_hours(500_000))
}

impl Sample {
    pub(crate) fn make() -> Self {
        let disk = FaultDisk::new(0);
        let store = Store::builder().clock(clock()).journal_bytes(192 << 10).open_on(&disk).expect("the disk is sound");
        let mut tokens = Vec::new();
        for nth in 0..SESSIONS {
            let session = store.session(None).expect("it is new");
            session.insert("value", value(nth)).expect("it is short");
            session.sign_in(format!("owner {}", nth % 9)).unwrap();
            session.save().wait().expect("the disk is sound");
            tokens.push(session.token().expect("it is saved"));
            if nth == SESSIONS * 3 / 4 {
                store.sweep().wait().expect("the disk is sound");
            }
        }
        Self::of(disk.copy(), tokens)
    }

    fn of(disk: FaultDisk, tokens: Vec<Token>) -> Self {
        let sessions: Vec<_> = tokens.into_iter().enumerate().map(|(nth, token)| (token, value(nth))).collect();
        let mut places = Vec::new();
        for name in disk.names() {
            let bytes = disk.contents(&name).expect("it is listed");
            let name = name.into_string().expect("the names are ASCII");
            for (_, value) in &sessions {
                let found = bytes.windows(value.len()).position(|window| window == value.as_bytes());
                places.extend(found.map(|at| (name.clone(), at, value.len())));
            }
        }
        assert!(places.len() >= SESSIONS, "every value stands in a file");
        Self { disk, sessions, places }
    }

    pub(crate) fn save(&self, dir: &Path) {
        for name in self.disk.names() {
            fs::write(dir.join(&name), self.disk.contents(&name).expect("it is listed")).expect("there is room for a store");
        }
        let tokens: Vec<_> = self.sessions.iter().map(|(token, _)| token.expose()).collect();
        fs::write(dir.join("tokens"), tokens.join("\n")).expect("there is room for a store");
    }

    pub(crate) fn load(dir: &Path) -> Self {
        let disk = FaultDisk::new(0);
        for entry in fs::read_dir(dir).expect("the sample is there").map_while(Result::ok) {
            if entry.file_name() != "tokens" {
                disk.replace(entry.file_name(), &fs::read(entry.path()).expect("the sample is there"));
            }
        }
        let tokens = fs::read_to_string(dir.join("tokens")).expect("the sample is there");
        let token = |line: &str| Token::parse(line.as_bytes()).expect("it was saved as one");
        Self::of(disk, tokens.lines().map(token).collect())
    }

    /// Opens a damaged copy of the store, reads everything and writes to it.
    pub(crate) fn check(&self, kind: Kind, number: u64) -> Outcome {
        let (disk, is_in_value) = self.damaged(kind, number);
        let opened = Store::builder()
            .clock(clock())
            .journal_bytes(192 << 10)
            .memory_budget(0)
            .disk_cache(0)
            .verify_on_open(env::var("SESSILE_DAMAGE_VERIFY").is_ok_and(|verify| verify == "yes"))
            .open_on(&disk);
        let store = match opened {
            Ok(store) => store,
            Err(error) if is_in_value && !self.is_journal(kind, number) => {
                return Outcome::Failed(format!("a bit of one session keeps all others out: {error}, {:?}", error.source()));
            }
            Err(_) => return Outcome::Refused,
        };
        let mut absent = 0;
        for (token, value) in &self.sessions {
            match store.session(Some(token)) {
                Ok(session) => match session.get::<String>("value") {
                    Ok(Some(found)) if found == *value => {}
                    Ok(None) if session.token().is_none() => absent += 1,
                    other => return Outcome::Failed(format!("a wrong session: {other:?}, expected {value:?}")),
                },
                Err(error) if error.is_transient() => absent += 1,
                Err(error) => return Outcome::Failed(format!("an error that is not transient: {error:?}")),
            }
        }
        if is_in_value && absent > 1 {
            return Outcome::Failed(format!("a bit of one session hides {absent}"));
        }
        self.use_it(&store);
        drop(store);
        if absent == 0 { Outcome::Harmless } else { Outcome::Absent }
    }

    /// Whatever it answers, it answers.
    fn use_it(&self, store: &Store) {
        for nth in 0..3 {
            if let Ok(session) = store.session(None) {
                let _ = session.insert("value", nth);
                let _ = session.save().wait();
            }
            let _ = store.sessions_of(format!("owner {nth}"));
        }
        if let Ok(session) = store.session(Some(&self.sessions[0].0)) {
            session.destroy();
            let _ = session.save().wait();
        }
        let _ = store.sweep().wait();
        let _ = store.close();
    }

    fn file(&self, rng: &mut Rng) -> (String, Vec<u8>) {
        let names: Vec<_> = self.disk.names().into_iter().filter_map(|name| name.into_string().ok()).collect();
        // The database half of the time.
        let name = if rng.below(2) == 0 { "store".to_owned() } else { names[rng.below(names.len())].clone() };
        let bytes = self.disk.contents(&name).expect("it is listed");
        (name, bytes)
    }

    fn is_journal(&self, kind: Kind, number: u64) -> bool {
        self.file(&mut Rng::of(kind, number)).0.contains("journal")
    }

    /// A damaged copy, and whether only one session's value was hit.
    fn damaged(&self, kind: Kind, number: u64) -> (FaultDisk, bool) {
        let mut rng = Rng::of(kind, number);
        let (name, mut bytes) = self.file(&mut rng);
        let disk = self.disk.copy();
        let mut is_in_value = false;
        match kind {
            Kind::Flip => {
                // Every other one where something is.
                let at = if rng.below(2) == 0 {
                    rng.below(bytes.len())
                } else {
                    let used: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
                    used[rng.below(used.len())]
                };
                bytes[at] ^= 1 << rng.below(8);
                is_in_value = self.places.iter().any(|(file, from, len)| *file == name && (*from..from + len).contains(&at));
            }
            Kind::Cut => {
                // Each 2.5 % of the length, 0 among them.
                let len =
                    bytes.len() * usize::try_from(number).expect("it is small") / usize::try_from(OTHERS).expect("it is small");
                bytes.truncate(len);
            }
            Kind::Zero => {
                let page = rng.below(bytes.len() / PAGE);
                bytes[page * PAGE..(page + 1) * PAGE].fill(0);
            }
            Kind::Swap => {
                let (one, other) = (rng.below(bytes.len() / PAGE), rng.below(bytes.len() / PAGE));
                for at in 0..PAGE {
                    bytes.swap(one * PAGE + at, other * PAGE + at);
                }
            }
            Kind::Extend => bytes.extend((0..=rng.below(3 * PAGE)).map(|at| at.to_le_bytes()[0])),
        }
        disk.replace(&name, &bytes);
        (disk, is_in_value)
    }
}

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn of(kind: Kind, number: u64) -> Self {
        Self((number << 8) | kind as u64)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) % end.max(1) as u64).expect("it is below a usize")
    }
}
