//! Stores that are closed while threads commit to them, on a disk that is full, fails or works again: a write that was
//! acknowledged, or that `close` confirmed, is there at the next open.

use std::{io::ErrorKind, thread, time::Duration};

use sessile::{Ack, Durability, Error, Store, Token};
use sessile_fault_disk::{FaultDisk, IoKind};

use crate::{
    life::Settings,
    model::{Kind, Model, Violation, violation},
    ops::violation_of_open,
    rng::Rng,
};

/// The store's result for one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// An error, or no result yet: the write may be there or not.
    Unsure,
    /// Acknowledged with a durability that does not wait for the disk.
    Accepted,
    Durable,
}

/// One session and all writes to it, oldest first; `None` is its end.
#[derive(Default)]
struct Visitor {
    token: Option<Token>,
    writes: Vec<(Option<u64>, Said)>,
}

impl Visitor {
    fn is_over(&self) -> bool {
        matches!(self.writes.last(), Some((None, _)))
    }

    /// Whether a store may have `found` after the last one was closed or dropped.
    fn check(&self, found: Option<u64>, closed_well: bool) -> Result<(), Violation> {
        let is_certain = |said: Said| said == Said::Durable || (closed_well && said == Said::Accepted);
        let certain = self.writes.iter().rposition(|(_, said)| is_certain(*said));
        let mut possible = self.writes[certain.unwrap_or(0)..].iter().map(|(value, _)| *value);
        if possible.any(|value| value == found) || (certain.is_none() && found.is_none()) {
            return Ok(());
        }
        let was = self.writes.iter().any(|(value, _)| *value == found && value.is_some());
        let over = self.is_over() && certain == Some(self.writes.len() - 1);
        let kind = if over {
            Kind::Resurrected
        } else if was || found.is_none() {
            Kind::Lost
        } else {
            Kind::Mixed
        };
        violation(kind, format!("found {found:?}, closed well: {closed_well}, writes {:?}", self.writes))
    }
}

/// Closes or drops one store in some state of its disk, opens it again and checks it. Returns the number of checked writes.
pub(crate) fn close_anyhow(seed: u64) -> Result<u64, Violation> {
    let mut rng = Rng::new(seed);
    let (settings, model) = (Settings::draw(&mut rng), Model::new(0));
    let disk = FaultDisk::new(rng.next());
    let store = match settings.open(&disk, &model) {
        Ok(store) => store,
        Err(error) => return violation_of_open(&error),
    };
    let mut seeds: Vec<u64> = (0..=rng.below(4)).map(|_| rng.next()).collect();
    // One thread continues to write while the store is closed.
    let late = rng.one_in(2).then(|| seeds.pop()).flatten();
    let length = rng.pick(&[5, 30, 120]);
    let (visitors, closed) = thread::scope(|scope| {
        let store = &store;
        let early: Vec<_> = seeds.into_iter().map(|seed| scope.spawn(move || commits(store, seed, length))).collect();
        let late = late.map(|seed| scope.spawn(move || commits(store, seed, usize::MAX)));
        for _ in 0..rng.below(6) {
            trouble(&disk, &mut rng);
            thread::sleep(Duration::from_millis(rng.below(25) as u64));
        }
        let (mut visitors, mut threads) = (Vec::new(), early);
        if rng.one_in(2) {
            visitors.extend(threads.drain(..).map(|thread| thread.join().expect("the hook has counted it")));
        }
        // Threads that still commit get `Error::Closed`.
        threads.extend(late);
        finish(store, &disk, threads, visitors, &mut rng)
    });
    drop(store);
    let visitors = visitors.into_iter().collect::<Result<Vec<_>, _>>()?;
    disk.heal();
    let next = if rng.one_in(4) { disk.kill() } else { disk.crash(rng.next()) };
    let found = match settings.open(&next, &model) {
        Ok(store) => store,
        Err(error) => return violation_of_open(&error),
    };
    let mut writes = 0;
    for visitor in visitors.iter().flatten() {
        let Some(token) = visitor.token else { continue };
        let session = found.session(Some(&token)).expect("the disk works");
        visitor.check(session.get("n").expect("it is a number"), closed)?;
        writes += visitor.writes.len() as u64;
    }
    Ok(writes)
}

type Joined = Vec<Result<Vec<Visitor>, Violation>>;

/// Closes the store while threads may still commit. Returns their visitors, and whether `close` returned `Ok`.
fn finish(
    store: &Store,
    disk: &FaultDisk,
    threads: Vec<thread::ScopedJoinHandle<'_, Result<Vec<Visitor>, Violation>>>,
    mut visitors: Joined,
    rng: &mut Rng,
) -> (Joined, bool) {
    match rng.below(3) {
        0 => disk.heal(),
        1 => trouble(disk, rng),
        _ => {}
    }
    let wait = Duration::from_millis(rng.below(30) as u64);
    let closed = thread::scope(|scope| {
        // The disk may start to work during the close.
        let heals = rng.one_in(2).then(|| {
            scope.spawn(move || {
                thread::sleep(wait);
                disk.heal();
            })
        });
        let closed = store.close().is_ok();
        drop(heals);
        closed
    });
    visitors.extend(threads.into_iter().map(|thread| thread.join().expect("the hook has counted it")));
    (visitors, closed)
}

/// Makes the disk fail in some way, or work again.
fn trouble(disk: &FaultDisk, rng: &mut Rng) {
    let kind = rng.pick(&[IoKind::Write, IoKind::Sync, IoKind::SetLen, IoKind::Create, IoKind::Open, IoKind::Remove]);
    match rng.below(8) {
        0..4 => disk.set_capacity(Some(disk.used_bytes() + rng.below(16 << 10))),
        4 => disk.fail_from(kind, rng.below(4) as u64, ErrorKind::Other),
        5 => disk.fail_nth(kind, rng.below(4) as u64, ErrorKind::Other),
        _ => disk.heal(),
    }
}

/// Commits with every durability to its own sessions, until `length` or the end of the store.
fn commits(store: &Store, seed: u64, length: usize) -> Result<Vec<Visitor>, Violation> {
    let mut rng = Rng::new(seed);
    let mut visitors: Vec<Visitor> = Vec::new();
    let mut waited: Vec<(Ack, usize, usize)> = Vec::new();
    for n in 0..length {
        let alive: Vec<usize> = (0..visitors.len()).filter(|at| !visitors[*at].is_over()).collect();
        let at = if alive.len() < 2 || rng.one_in(4) {
            visitors.push(Visitor::default());
            visitors.len() - 1
        } else {
            rng.pick(&alive)
        };
        let visitor = &mut visitors[at];
        let session = match store.session(visitor.token.as_ref()) {
            Ok(session) => session,
            Err(Error::Closed) => break,
            // A session that only the disk has cannot be read now.
            Err(_) => continue,
        };
        if visitor.token.is_some() && session.token().is_none() {
            // Unless none of its writes was ever accepted.
            visitor.check(None, false)?;
            continue;
        }
        let class = rng.pick(&[Durability::Durable, Durability::Durable, Durability::Relaxed, Durability::Quick]);
        let ends = visitor.token.is_some() && rng.one_in(8);
        if ends {
            session.destroy();
        } else {
            session.insert("n", n as u64).expect("a number fits");
            if rng.one_in(3) {
                session.insert("long", "x".repeat(rng.pick(&[100, 3000, 20_000]))).expect("so does this");
            }
        }
        let ack = session.save_with(class);
        visitor.token = session.token().or(visitor.token);
        visitor.writes.push((if ends { None } else { Some(n as u64) }, Said::Unsure));
        let write = visitor.writes.len() - 1;
        if ends || class == Durability::Durable {
            waited.push((ack, at, write));
        } else {
            match ack.wait() {
                Ok(()) => visitor.writes[write].1 = Said::Accepted,
                Err(Error::Closed) => break,
                Err(_) => {}
            }
        }
        if waited.len() > rng.below(6) && settle(&mut visitors, &mut waited) {
            break;
        }
    }
    settle(&mut visitors, &mut waited);
    Ok(visitors)
}

/// Waits for acknowledgements. Returns whether one reported that the store is closed.
fn settle(visitors: &mut [Visitor], waited: &mut Vec<(Ack, usize, usize)>) -> bool {
    let mut is_closed = false;
    for (ack, at, write) in waited.drain(..) {
        match ack.wait() {
            Ok(()) => visitors[at].writes[write].1 = Said::Durable,
            Err(error) => is_closed |= matches!(error, Error::Closed),
        }
    }
    is_closed
}
