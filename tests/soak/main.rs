//! A long mixed load through axum over real loopback sockets, with little memory: people with several devices each, who browse, shop,
//! sign in and out and everywhere, beside bots whose sessions are never used again and others who make tokens up.
//!
//! Each person knows what is in each of their sessions, and looks: nothing may be missing, nothing may be left, at the end and after
//! a restart. No answer may be an error, and the process must not grow.
//!
//! `SESSILE_SOAK` says for how many seconds (default 20), `SESSILE_SOAK_SEED` repeats the choices, though not the moments.

mod app;
mod http;
mod memory;
mod person;
#[path = "../crash/rng.rs"]
mod rng;
mod strangers;

use std::{
    env,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sessile::Store;
use tempfile::TempDir;
use tokio::task::JoinSet;

use self::{http::Client, memory::Resident, person::Person, rng::Rng};

const PEOPLE: u64 = 24;
const BOTS: u64 = 4;
const LIARS: u64 = 2;
/// Less than the people's sessions take, not to speak of the bots'.
const MEMORY_BUDGET: usize = 64 << 10;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Failure>;

fn main() -> ExitCode {
    let number = |name| env::var(name).ok().map(|text| text.parse::<u64>().expect("the variable is a number"));
    let seed = number("SESSILE_SOAK_SEED").unwrap_or_else(rng::first_seed);
    let lasts = Duration::from_secs(number("SESSILE_SOAK").unwrap_or(20));
    println!("SESSILE_SOAK_SEED={seed}, {lasts:?}");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("the runtime starts");
    match runtime.block_on(soak(seed, lasts)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("FAILED with SESSILE_SOAK_SEED={seed}: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn soak(seed: u64, lasts: Duration) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let store = open(&directory)?;
    let address = app::serve(store.clone()).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let resident = Resident::watch(lasts, stop.clone());
    let began = Instant::now();

    let (mut people, mut strangers) = (JoinSet::new(), JoinSet::new());
    for nth in 0..PEOPLE {
        let (rng, stop) = (Rng::new(seed ^ (nth << 32)), stop.clone());
        people.spawn(async move { Person::new(nth).live(address, rng, &stop).await });
    }
    for nth in 0..BOTS + LIARS {
        let (rng, stop) = (Rng::new(!seed ^ (nth << 32)), stop.clone());
        strangers.spawn(async move {
            if nth < BOTS { strangers::crawl(address, rng, &stop).await } else { strangers::lie(address, rng, &stop).await }
        });
    }
    let (mut alive, mut requests) = (Vec::new(), 0);
    let until = tokio::time::sleep(lasts);
    tokio::pin!(until);
    loop {
        tokio::select! {
            () = &mut until, if !stop.load(Ordering::Relaxed) => stop.store(true, Ordering::Relaxed),
            Some(person) = people.join_next() => match person? {
                Ok((person, made)) => {
                    alive.push(person);
                    requests += made;
                }
                // What others find out afterwards is not heard: the first one is the cause.
                Err(failure) => return Err(failure),
            },
            Some(made) = strangers.join_next() => requests += made??,
            else => break,
        }
    }
    println!("{requests} requests, {} a second", requests / began.elapsed().as_secs().max(1));

    agree(&store, address, &alive).await?;
    report(&store)?;
    resident.verdict()?;

    store.close()?;
    let store = open(&directory)?;
    agree(&store, app::serve(store.clone()).await?, &alive).await?;
    println!("{} people agree with the store, and with what it is after a restart", alive.len());
    Ok(())
}

fn open(directory: &TempDir) -> Result<Store> {
    let store = Store::builder()
        .memory_budget(MEMORY_BUDGET)
        .disk_cache(1 << 20)
        .journal_bytes(1 << 20)
        .sweep_interval(Duration::from_secs(1))
        .rotation_grace(Duration::from_mins(1));
    Ok(store.open(directory.path().join("sessions.redb"))?)
}

/// Everybody finds their sessions as they know them, and the store has no others.
async fn agree(store: &Store, address: SocketAddr, people: &[Person]) -> Result<()> {
    let mut client = Client::new(address);
    for person in people {
        person.look_at_all(&mut client).await?;
        let (listed, expected) = (store.sessions_of(person.owner())?.len(), person.signed_in());
        if listed != expected {
            return Err(format!("{} has {listed} sessions in the list and knows of {expected}", person.owner()).into());
        }
    }
    // The bots' have a second, and the index counts minutes.
    tokio::time::sleep(app::BOT_LIFE).await;
    store.sweep().wait()?;
    let expected = people.iter().map(Person::sessions).sum::<u64>();
    let abandoned = people.iter().map(Person::abandoned).sum::<u64>();
    let found = store.stats().disk_sessions;
    if found != expected + abandoned {
        return Err(format!("the store has {found} sessions; {expected} are in use, {abandoned} abandoned").into());
    }
    println!("{found} sessions, {expected} of them in use");
    Ok(())
}

fn report(store: &Store) -> Result<()> {
    let stats = store.stats();
    println!(
        "commits {}, syncs {}, evictions {}, read from disk {}, forged {}, swept {}, file {} KiB, journal {} KiB",
        stats.commits,
        stats.syncs,
        stats.evictions,
        stats.disk_hits,
        stats.forged,
        stats.swept,
        stats.file_bytes >> 10,
        stats.journal_bytes >> 10
    );
    let bad = [
        ("damaged records", stats.corrupt + stats.quarantined),
        ("values that could not be read", stats.unreadable),
        ("dropped commits", stats.dropped_commits),
        ("refused sessions", stats.refused),
        ("jumps of the clock", stats.clock_jumps),
        ("degraded", u64::from(stats.degraded)),
    ];
    for (what, count) in bad {
        if count > 0 {
            return Err(format!("{what}: {count}").into());
        }
    }
    for (what, count) in [("evictions", stats.evictions), ("forged tokens", stats.forged), ("sweeps", stats.swept)] {
        if count == 0 {
            return Err(format!("no {what}: the load is not what it should be").into());
        }
    }
    Ok(())
}
