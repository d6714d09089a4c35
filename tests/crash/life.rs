//! Long runs: stores that survive one crash after the other.

use std::{
    io::ErrorKind,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use sessile::{Builder, Durability, Error, Store};
use sessile_fault_disk::{FaultDisk, IoKind};

use crate::{
    model::{ABSOLUTE, IDLE, Kind, Model, Violation, violation},
    ops::{Run, Step, draw, violation_of_open},
    rng::Rng,
};

/// How a store is opened in one life.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) durability: Durability,
    journal_bytes: u64,
    memory_budget: usize,
    flush_interval: Duration,
    #[cfg_attr(not(feature = "encryption"), expect(dead_code, reason = "it is of no effect then"))]
    is_encrypted: bool,
}

impl Settings {
    pub(crate) fn short(is_encrypted: bool) -> Self {
        Self {
            durability: Durability::Durable,
            journal_bytes: 192 << 10,
            memory_budget: 1 << 20,
            flush_interval: Duration::from_millis(5),
            is_encrypted,
        }
    }

    pub(crate) fn draw(rng: &mut Rng) -> Self {
        Self {
            durability: if rng.one_in(3) { Durability::Relaxed } else { Durability::Durable },
            journal_bytes: rng.pick(&[192 << 10, 256 << 10, 320 << 10, 3 << 19]),
            memory_budget: rng.pick(&[0, 64 << 10, 16 << 20]),
            flush_interval: Duration::from_millis(rng.pick(&[1, 20, 1000])),
            is_encrypted: rng.one_in(2),
        }
    }

    pub(crate) fn open(&self, disk: &FaultDisk, model: &Model) -> Result<Store, Error> {
        let builder = Builder::default();
        #[cfg(feature = "encryption")]
        let builder = if self.is_encrypted { builder.encrypt([7; 32]) } else { builder };
        builder
            .durability(self.durability)
            .journal_bytes(self.journal_bytes)
            .memory_budget(self.memory_budget)
            .flush_interval(self.flush_interval)
            .idle_timeout(IDLE)
            .absolute_timeout(ABSOLUTE)
            .disk_cache(1 << 20)
            .clock(model.clock.clone())
            .open_on(disk)
    }
}

/// Runs one life from a seed. Returns the number of crashes that it survived.
pub(crate) fn live(seed: u64) -> Result<u64, Violation> {
    let mut rng = Rng::new(seed);
    let settings = Settings::draw(&mut rng);
    let mut model = Model::new(1 + rng.below(8));
    let mut disk = FaultDisk::new(rng.next());
    let mut points = 0;
    for _ in 0..=rng.below(4) {
        crash_after(&disk, rng.pick(&[12, 40, 150, 600]), &mut rng);
        run(&settings, &disk, &mut model, &mut rng)?;
        disk = cut(&disk, &mut rng);
        points += 1;
        while rng.one_in(3) {
            // Another crash during the recovery, or just after it.
            crash_after(&disk, 25, &mut rng);
            recover(&settings, &disk, &mut model, &mut rng)?;
            disk = cut(&disk, &mut rng);
            points += 1;
        }
        let store = match settings.open(&disk, &model) {
            Ok(store) => store,
            Err(error) => return violation_of_open(&error),
        };
        model.check_recovered(&store)?;
        if rng.one_in(2) {
            close(&store, &disk, &mut model)?;
        }
        drop(store);
    }
    Ok(points)
}

/// Runs a life on a disk that fails now and then: operations fail once or for a while, syncs lose the data that they were to
/// make durable, and the disk is full. Returns the number of failures that it survived.
pub(crate) fn suffer(seed: u64) -> Result<u64, Violation> {
    let mut rng = Rng::new(seed);
    let settings = Settings::draw(&mut rng);
    let mut model = Model::new(1 + rng.below(8));
    let mut disk = FaultDisk::new(rng.next());
    let mut failures = 0;
    for _ in 0..=rng.below(3) {
        if rng.one_in(3) {
            failures += 1;
            fail(&disk, &mut rng);
        }
        let store = settings.open(&disk, &model).or_else(|_| {
            disk.heal();
            settings.open(&disk, &model)
        });
        let store = match store {
            Ok(store) => store,
            Err(error) => return violation_of_open(&error),
        };
        let is_durable = settings.durability == Durability::Durable;
        let mut run = Run { store: &store, model: &mut model, is_durable, may_refuse: true, pending: Vec::new() };
        for _ in 0..rng.pick(&[10, 30, 100]) {
            if rng.one_in(8) {
                failures += 1;
                fail(&disk, &mut rng);
            }
            if rng.one_in(6) {
                disk.heal();
            }
            let op = draw(run.model.visitors.len(), &mut rng);
            run.step(op, &mut rng)?;
            if run.pending.len() > 4 {
                run.settle()?;
            }
        }
        run.settle()?;
        let healed = rng.one_in(2);
        if healed {
            disk.heal();
            heals(&mut run)?;
        }
        if healed && rng.one_in(2) {
            close(&store, &disk, &mut model)?;
        }
        disk = disk.crash(rng.next());
        // The disk may still be full.
        disk.heal();
        let store = match settings.open(&disk, &model) {
            Ok(store) => store,
            Err(error) => return violation_of_open(&error),
        };
        model.check_recovered(&store)?;
    }
    Ok(failures)
}

fn fail(disk: &FaultDisk, rng: &mut Rng) {
    let kind = if rng.one_in(2) { rng.pick(&[IoKind::Write, IoKind::Sync, IoKind::Read]) } else { rng.pick(&IoKind::ALL) };
    let n = rng.below(8) as u64;
    match rng.below(5) {
        0..3 => disk.fail_nth(kind, n, ErrorKind::Other),
        3 => disk.fail_from(kind, n, ErrorKind::Other),
        _ => disk.set_capacity(Some(disk.used_bytes() + rng.below(64 << 10))),
    }
}

/// Checks that a store whose disk works again works again, too, and has lost nothing that it serves.
fn heals(run: &mut Run<'_>) -> Result<(), Violation> {
    let began = Instant::now();
    while run.store.flush().wait().is_err() {
        if began.elapsed() > Duration::from_secs(10) {
            return violation(Kind::Lost, format!("it does not heal: {:?}", run.store.flush().wait()));
        }
        thread::sleep(Duration::from_millis(5));
    }
    for visitor in 0..run.model.visitors.len() {
        while !run.model.check_served(run.store, visitor)? {
            if began.elapsed() > Duration::from_secs(10) {
                return violation(Kind::Lost, "it cannot be read after the disk has healed");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
    run.model.all_certain();
    Ok(())
}

fn crash_after(disk: &FaultDisk, at_most: usize, rng: &mut Rng) {
    disk.crash_at(disk.counts().changes + rng.below(at_most) as u64);
}

/// Returns the disk as the next process finds it.
fn cut(disk: &FaultDisk, rng: &mut Rng) -> FaultDisk {
    if rng.one_in(5) { disk.kill() } else { disk.crash(rng.next()) }
}

/// Works on the store until the disk is gone or the work is done.
fn run(settings: &Settings, disk: &FaultDisk, model: &mut Model, rng: &mut Rng) -> Result<(), Violation> {
    let store = match settings.open(disk, model) {
        Ok(store) => store,
        Err(_) if disk.is_dead() => return Ok(()),
        Err(error) => return violation_of_open(&error),
    };
    let is_durable = settings.durability == Durability::Durable;
    let mut run = Run { store: &store, model, is_durable, may_refuse: false, pending: Vec::new() };
    let visitors = run.model.visitors.len();
    for _ in 0..rng.pick(&[5, 20, 60, 200]) {
        let op = draw(visitors, rng);
        let step = match run.step(op, rng) {
            Ok(step) => step,
            // The end of a session may have been refused; the next process shows whether it was.
            Err(_) if disk.is_dead() => break,
            Err(problem) => return Err(problem),
        };
        // Bounded, as the number of waiting requests is.
        let late = if run.pending.len() > 16 { run.settle()? } else { Step::Done };
        if step == Step::Refused || late == Step::Refused {
            if disk.is_dead() {
                break;
            }
            return violation(Kind::Lost, format!("{op:?} is refused by a disk that works"));
        }
    }
    if rng.one_in(3) {
        run.settle()?;
        close(&store, disk, model)?;
    } else if rng.one_in(2) {
        run.settle()?;
    }
    // Otherwise the power is cut while commits are in flight, if it was not cut before.
    disk.crash_at(disk.counts().changes);
    Ok(())
}

/// Opens the store, which may crash at any moment, and checks it.
fn recover(settings: &Settings, disk: &FaultDisk, model: &mut Model, rng: &mut Rng) -> Result<(), Violation> {
    match settings.open(disk, model) {
        Ok(store) => {
            // A session that is served after a recovery is durable, as the client may have got the acknowledgement before the
            // first crash.
            let mut looked = model.clone();
            let checked = looked.check_recovered(&store);
            if !disk.is_dead() {
                checked?;
                *model = looked;
            }
            if rng.one_in(3) {
                close(&store, disk, model)?;
            }
            disk.crash_at(disk.counts().changes);
            Ok(())
        }
        Err(_) if disk.is_dead() => Ok(()),
        Err(error) => violation_of_open(&error),
    }
}

fn close(store: &Store, disk: &FaultDisk, model: &mut Model) -> Result<(), Violation> {
    match store.close() {
        Ok(()) => {
            model.all_certain();
            Ok(())
        }
        Err(_) if disk.is_dead() => Ok(()),
        Err(error) => violation(Kind::Lost, format!("closing fails on a disk that works: {error:?}")),
    }
}

/// Reports a run that hangs.
pub(crate) struct Watch {
    _done: mpsc::Sender<()>,
}

impl Watch {
    pub(crate) fn over(name: &str, patience: Duration) -> Self {
        let (done, is_done) = mpsc::channel::<()>();
        let name = name.to_owned();
        thread::spawn(move || {
            if is_done.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
                println!("FAILED {name}: hangs");
                std::process::exit(1);
            }
        });
        Self { _done: done }
    }
}
