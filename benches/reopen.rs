//! T9: a million sessions, a process that is killed while 64 writers commit, and how long the next one takes to its first read.
//!
//! The process that is killed is this program, started once more. redb alone goes through the same.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use redb::{Database, ReadableDatabase, TableDefinition};
use sessile::{Durability, Store, Token};
use sessile_benches::{
    Others, Target,
    disk::{Durable, FILE, SessilePut, builder, closed_loop, directory, forget_cached, key, runtime},
    median, report, row, sized,
};

/// Tells a child what to be.
const ROLE: &str = "SESSILE_BENCH_ROLE";
const WRITERS: usize = 64;

fn main() {
    match env::var(ROLE).as_deref() {
        Ok("sessile") => be_sessile(),
        Ok("redb") => be_redb(),
        Ok(other) => panic!("{ROLE} is {other:?}, which only this program sets"),
        Err(_) => measure(),
    }
}

/// The next process's work, timed: after a kill, with the files in the page cache or not.
struct Reopened {
    time: Duration,
    /// Changes that the journal had and the database had not.
    replayed: u64,
}

fn measure() {
    let _others = Others::watch();
    let sessions = sized(1_000_000, 5_000);
    for (name, is_cold, rounds) in [("page cache hot", false, sized(5, 1)), ("page cache cold", true, sized(5, 1))] {
        let dir = directory(env!("CARGO_TARGET_TMPDIR"));
        let shares = (0..rounds).map(|_| {
            kill_child("sessile", dir.path(), sessions);
            let reopened = reopen_sessile(dir.path(), is_cold);
            let bound = Duration::from_millis(20) + Duration::from_micros(reopened.replayed);
            let times =
                [(millis(reopened.time), "ms"), (reopened.replayed as f64, "records replayed"), (millis(bound), "ms allowed")];
            row(&format!("sessile, {name}"), &times);
            reopened.time.as_secs_f64() / bound.as_secs_f64()
        });
        let what = format!("open after kill -9 to first read, {sessions} sessions, {name}");
        let share = median(shares.collect());
        report("T9", &what, share, "x (20 ms + 1 us for each journalled record)", Target::AtMost(1.0));
    }
    let dir = directory(env!("CARGO_TARGET_TMPDIR"));
    for (name, is_cold) in [("page cache hot", false), ("page cache cold", true)] {
        kill_child("redb", dir.path(), sessions);
        row(&format!("redb alone, {name}"), &[(millis(reopen_redb(dir.path(), is_cold)), "ms")]);
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Starts this program as `role` on `path`, lets it write for a while once it has filled its store, and kills it.
fn kill_child(role: &str, path: &Path, sessions: usize) {
    let program = env::current_exe().expect("this program has a file");
    let mut command = Command::new(program);
    command.env(ROLE, role).arg(path).arg(sessions.to_string()).stdout(Stdio::piped());
    let mut child = Killed(command.spawn().expect("this program starts"));
    let mut lines = BufReader::new(child.0.stdout.take().expect("it is piped"));
    lines.read_line(&mut String::new()).expect("the child tells when it writes");
    std::thread::sleep(sized(Duration::from_secs(3), Duration::from_millis(200)));
    child.kill();
}

/// A child that does not outlive its guard, whatever happens.
struct Killed(Child);

impl Killed {
    fn kill(&mut self) {
        // It may have gone by itself, which its files then show.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.kill();
    }
}

fn child_arguments() -> (std::path::PathBuf, usize) {
    let mut arguments = env::args_os().skip(1);
    let path = arguments.next().expect("the parent names the directory").into();
    let sessions = arguments.next().and_then(|text| text.to_str()?.parse().ok());
    (path, sessions.expect("the parent says how many sessions"))
}

/// Tells the parent that writing begins.
fn ready() {
    println!("ready");
    std::io::stdout().flush().expect("the parent listens");
}

const TOKENS: &str = "tokens";

/// Fills a store, or opens the one that is there, and has durable commits made until somebody kills it.
fn be_sessile() {
    let (path, sessions) = child_arguments();
    let builder = builder().durability(Durability::Durable);
    let put = if let Ok(tokens) = std::fs::read_to_string(path.join(TOKENS)) {
        let tokens = tokens.lines().map(|line| Token::parse(line.as_bytes()).expect("the first child wrote it")).collect();
        SessilePut::of(builder.open(path.join(FILE)).expect("it was closed"), tokens)
    } else {
        let put = SessilePut::new(builder, &path, sessions);
        let tokens: String = put.tokens().iter().map(|token| token.expose() + "\n").collect();
        std::fs::write(path.join(TOKENS), tokens).expect("the disk has room");
        put
    };
    let (runtime, store): (_, Arc<dyn Durable>) = (runtime(), Arc::new(put));
    ready();
    let _ = closed_loop(&runtime, &store, WRITERS, sessions, Duration::from_mins(10));
}

fn reopen_sessile(path: &Path, is_cold: bool) -> Reopened {
    let tokens = std::fs::read_to_string(path.join(TOKENS)).expect("the child wrote it");
    let token = tokens.lines().next().and_then(|line| Token::parse(line.as_bytes())).expect("there are sessions");
    if is_cold {
        forget_cached(path);
    }
    let start = Instant::now();
    let store = Store::open(path.join(FILE)).expect("what was killed opens");
    let session = store.session(Some(&token)).expect("the disk works");
    let data: Option<String> = session.get("data").expect("it is text");
    let time = start.elapsed();
    assert!(data.is_some(), "the session is there");
    let replayed = store.stats().replayed;
    store.close().expect("the disk works");
    Reopened { time, replayed }
}

const TABLE: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("records");
const REDB: &str = "redb";

/// The same with redb alone, as it is by default.
fn be_redb() {
    let (path, sessions) = child_arguments();
    let database = Database::create(path.join(REDB)).expect("the disk works");
    let write = |keys: &mut dyn Iterator<Item = usize>| {
        let txn = database.begin_write().expect("the disk works");
        {
            let mut table = txn.open_table(TABLE).expect("the disk works");
            for n in keys {
                table.insert(&key(n), [7; sessile_benches::disk::RECORD_BYTES].as_slice()).expect("the disk works");
            }
        }
        txn.commit().expect("the disk works");
    };
    let len = {
        let txn = database.begin_read().expect("the disk works");
        txn.open_table(TABLE).map_or(0, |table| redb::ReadableTableMetadata::len(&table).expect("the disk works"))
    };
    if len == 0 {
        let mut sorted: Vec<usize> = (0..sessions).collect();
        sorted.sort_unstable_by_key(|n| key(*n));
        sorted.chunks(20_000).for_each(|some| write(&mut some.iter().copied()));
    }
    ready();
    let mut random = sessile_benches::Random(len);
    loop {
        write(&mut (0..WRITERS).map(|_| random.below(sessions)));
    }
}

fn reopen_redb(path: &Path, is_cold: bool) -> Duration {
    if is_cold {
        forget_cached(path);
    }
    let start = Instant::now();
    let database = Database::create(path.join(REDB)).expect("what was killed opens");
    let txn = database.begin_read().expect("the disk works");
    let table = txn.open_table(TABLE).expect("the child made it");
    assert!(table.get(&key(0)).expect("the disk works").is_some());
    start.elapsed()
}
