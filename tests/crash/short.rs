//! Short runs: every sequence of a few commits on two sessions, with a crash at every change of the disk.

use std::panic::AssertUnwindSafe;

use sessile::testing;
use sessile_fault_disk::FaultDisk;

use crate::{
    life::Settings,
    model::{Kind, Model, Violation, violation},
    ops::{Op, Run, Step, violation_of_open},
    rng::Rng,
};

/// Different disks that each crash leaves.
const IMAGES: u64 = 2;
/// No short run changes the disk more often.
const LONGEST: u64 = 800;

/// Returns every run of up to `len` commits that make sense, on two visitors, where one of them always comes first.
pub(crate) fn runs(len: usize) -> Vec<Vec<Op>> {
    let mut all = Vec::new();
    extend(&mut all, &[], len);
    all
}

fn extend(all: &mut Vec<Vec<Op>>, ops: &[Op], left: usize) {
    if left == 0 {
        return;
    }
    let alive = |visitor| {
        ops.iter().rev().find_map(|op| match op {
            Op::Create(of, _) | Op::Update(of, _) | Op::Rotate(of) if *of == visitor => Some(true),
            Op::Destroy(of) if *of == visitor => Some(false),
            _ => None,
        })
    };
    for visitor in 0..2 {
        if visitor == 1 && ops.is_empty() {
            continue;
        }
        let next: &[Op] = match alive(visitor) {
            Some(true) => &[Op::Update(visitor, true), Op::Rotate(visitor), Op::Destroy(visitor)],
            Some(false) | None => &[Op::Create(visitor, Some(0))],
        };
        for op in next {
            let ops = [ops, &[*op]].concat();
            all.push(ops.clone());
            extend(all, &ops, left - 1);
        }
    }
}

/// Crashes a run of `ops`, and of a backup after them if `backs_up`, at each change of the disk, from creating the store to closing it.
/// Returns the number of checked disks.
pub(crate) fn every_point(ops: &[Op], backs_up: bool) -> Result<u64, Violation> {
    let mut looked_at = 0;
    for at in 0..LONGEST {
        // One by one, and all in flight at once.
        for one_by_one in [true, false] {
            let (disk, mut model) = (FaultDisk::new(at), Model::new(2));
            disk.crash_at(at);
            // And one of the two encrypted.
            let settings = Settings::short(!one_by_one);
            run(ops, one_by_one, backs_up, &settings, &disk, &mut model)?;
            for seed in 0..IMAGES {
                let image = disk.crash(at * IMAGES + seed);
                check_backups(&image, &settings, &model)?;
                check(&image, &settings, &model)?;
                looked_at += 1;
            }
            if !disk.is_dead() && one_by_one {
                return Ok(looked_at);
            }
        }
    }
    violation(Kind::Lost, "a short run does not end")
}

fn run(
    ops: &[Op],
    one_by_one: bool,
    backs_up: bool,
    settings: &Settings,
    disk: &FaultDisk,
    model: &mut Model,
) -> Result<(), Violation> {
    let store = match settings.open(disk, model) {
        Ok(store) => store,
        Err(_) if disk.is_dead() => return Ok(()),
        Err(error) => return violation_of_open(&error),
    };
    let mut rng = Rng::new(0);
    let mut run = Run { store: &store, model, is_durable: true, may_refuse: false, pending: Vec::new() };
    for op in ops {
        let step = run.step(*op, &mut rng)?;
        if step == Step::Refused || (one_by_one && run.settle()? == Step::Refused) {
            break;
        }
    }
    run.settle()?;
    if backs_up && testing::backup_on(&store, disk).is_ok() {
        model.all_certain();
        if disk.contents("backup").is_none() {
            return violation(Kind::Lost, "a backup was made, and is not there");
        }
    }
    if store.close().is_ok() {
        model.all_certain();
    }
    Ok(())
}

/// Every file that a backup left is complete, or is no store.
fn check_backups(disk: &FaultDisk, settings: &Settings, model: &Model) -> Result<(), Violation> {
    for name in disk.names() {
        let is_draft = name.to_string_lossy().starts_with("backup.new-");
        let Some(bytes) = disk.contents(&name).filter(|_| is_draft || name == "backup") else { continue };
        let restored = FaultDisk::new(0);
        restored.replace("store", &bytes);
        if is_draft && settings.open(&restored, model).is_err() {
            continue;
        }
        check(&restored, settings, model)?;
    }
    Ok(())
}

fn check(disk: &FaultDisk, settings: &Settings, model: &Model) -> Result<(), Violation> {
    let mut model = model.fork();
    let opened = std::panic::catch_unwind(AssertUnwindSafe(|| settings.open(disk, &model)));
    match opened {
        Ok(Ok(store)) => model.check_recovered(&store),
        Ok(Err(error)) => violation_of_open(&error),
        Err(_) => violation(Kind::Lost, "opening panicked"),
    }
}
