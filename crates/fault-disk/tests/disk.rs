//! What the simulated disk keeps, loses and refuses.

use std::{collections::BTreeSet, ffi::OsStr, io::ErrorKind, sync::mpsc, thread};

use sessile::testing::{Volume, VolumeFile};
use sessile_fault_disk::{FaultDisk, IoKind};

const NAME: &str = "file";

fn name() -> &'static OsStr {
    OsStr::new(NAME)
}

/// A disk with one file, whose name and 4096 bytes of `1` are durable.
fn one_file() -> (FaultDisk, Box<dyn VolumeFile>) {
    let disk = FaultDisk::new(1);
    let file = disk.create(name()).unwrap();
    file.write_at(0, &[1; 4096]).unwrap();
    file.sync().unwrap();
    Volume::sync(&disk).unwrap();
    (disk, file)
}

/// Returns the different contents that 400 power cuts leave.
fn outcomes(disk: &FaultDisk) -> BTreeSet<Option<Vec<u8>>> {
    (0..400).map(|seed| disk.crash(seed).contents(NAME)).collect()
}

#[test]
fn what_was_synced_outlasts_every_power_cut() {
    let (disk, _file) = one_file();
    assert_eq!(outcomes(&disk), [Some(vec![1; 4096])].into());
}

#[test]
fn of_unsynced_writes_any_subset_is_left() {
    let (disk, file) = one_file();
    for at in 0..3 {
        file.write_at(at * 512, &[2; 512]).unwrap();
    }
    let left: BTreeSet<_> = outcomes(&disk)
        .into_iter()
        .map(|bytes| [0, 512, 1024].map(|at| bytes.as_ref().unwrap()[at..at + 512].iter().all(|byte| *byte == 2)))
        .collect();
    assert_eq!(left.len(), 8, "only {left:?}");
}

#[test]
fn a_write_is_torn_at_sectors_and_at_bytes() {
    let (disk, file) = one_file();
    file.write_at(100, &[2; 2000]).unwrap();
    let mut cuts = BTreeSet::new();
    for bytes in outcomes(&disk) {
        let bytes = bytes.unwrap();
        assert!(bytes[..100].iter().chain(&bytes[2100..]).all(|byte| *byte == 1), "nothing beside the write changes");
        cuts.extend(bytes.windows(2).enumerate().filter(|(_, pair)| pair[0] != pair[1]).map(|(at, _)| at + 1));
    }
    assert!(cuts.contains(&512) && cuts.contains(&1024), "{cuts:?}");
    assert!(cuts.iter().any(|cut| cut % 512 != 0 && *cut > 100 && *cut < 2100), "{cuts:?}");
}

#[test]
fn lengths_and_data_are_lost_apart() {
    let (disk, file) = one_file();
    file.write_at(4096, &[2; 4096]).unwrap();
    file.set_len(12_288).unwrap();
    let left = outcomes(&disk);
    let has =
        |len: usize, byte: u8| left.iter().flatten().any(|bytes| bytes.len() == len && bytes[4096..].first() == Some(&byte));
    assert!(left.contains(&Some(vec![1; 4096])));
    assert!(has(8192, 2) && has(8192, 0) && has(12_288, 2) && has(12_288, 0));
}

#[test]
fn names_are_lost_until_the_directory_is_synced() {
    let disk = FaultDisk::new(1);
    let file = disk.create(OsStr::new("draft")).unwrap();
    file.write_at(0, &[1]).unwrap();
    file.sync().unwrap();
    disk.publish(OsStr::new("draft"), name()).unwrap();
    assert!(outcomes(&disk).contains(&None) && outcomes(&disk).contains(&Some(vec![1])));
    Volume::sync(&disk).unwrap();
    assert_eq!(outcomes(&disk), [Some(vec![1])].into());
    disk.remove(name()).unwrap();
    assert_eq!(disk.contents(NAME), None);
    assert!(outcomes(&disk).contains(&Some(vec![1])), "a removal is lost as well");
}

#[test]
fn publishing_replaces_nothing() {
    let (disk, _file) = one_file();
    disk.create(OsStr::new("draft")).unwrap();
    disk.publish(OsStr::new("draft"), name()).unwrap();
    assert_eq!(disk.contents(NAME).unwrap().len(), 4096);
    assert_eq!(disk.create(name()).unwrap_err().kind(), ErrorKind::AlreadyExists);
}

#[test]
fn a_killed_process_loses_nothing_that_it_wrote() {
    let (disk, file) = one_file();
    file.write_at(0, &[2; 4096]).unwrap();
    assert!(file.try_lock().unwrap());
    let next = disk.kill();
    assert_eq!(next.contents(NAME), Some(vec![2; 4096]));
    assert!(file.write_at(0, &[3]).is_err() && file.sync().is_err() && disk.open(name()).is_err());
    assert!(next.open(name()).unwrap().try_lock().unwrap(), "a lock goes with its process");
    assert!(outcomes(&next).len() > 1, "it is not durable for all that");
}

#[test]
fn a_failed_sync_loses_the_data_for_good() {
    let mut left = BTreeSet::new();
    for seed in 0..100 {
        let disk = FaultDisk::new(seed);
        let file = disk.create(name()).unwrap();
        Volume::sync(&disk).unwrap();
        file.write_at(0, &[1; 512]).unwrap();
        disk.fail_nth(IoKind::Sync, 0, ErrorKind::Other);
        file.sync().unwrap_err();
        file.sync().unwrap();
        left.insert(disk.crash(seed).contents(NAME).unwrap());
    }
    assert!(left.contains(&vec![]) && left.contains(&vec![1; 512]), "{left:?}");
}

#[test]
fn faults_hit_the_operations_that_they_name() {
    let (disk, file) = one_file();
    disk.fail_nth(IoKind::Write, 1, ErrorKind::PermissionDenied);
    file.write_at(0, &[2]).unwrap();
    assert_eq!(file.write_at(0, &[3; 9]).unwrap_err().kind(), ErrorKind::PermissionDenied);
    file.write_at(0, &[4]).unwrap();
    disk.fail_from(None, 2, ErrorKind::Other);
    file.read_at(0, &mut [0]).unwrap();
    file.sync().unwrap();
    assert!(file.read_at(0, &mut [0]).is_err() && file.sync().is_err() && disk.open(name()).is_err());
    disk.heal();
    file.sync().unwrap();
    disk.open(name()).unwrap();
}

#[test]
fn a_full_disk_takes_overwrites_and_no_new_pages() {
    let (disk, file) = one_file();
    disk.set_capacity(Some(8192));
    file.set_len(1 << 20).unwrap();
    file.write_at(4096, &[2; 4096]).unwrap();
    assert_eq!(file.write_at(8000, &[3; 1000]).unwrap_err().kind(), ErrorKind::StorageFull);
    file.write_at(0, &[4; 8192]).unwrap();
    assert_eq!(disk.used_bytes(), 8192);
    disk.heal();
    file.write_at(8000, &[3; 1000]).unwrap();
}

#[test]
fn everything_fails_after_the_power_is_cut() {
    let (disk, file) = one_file();
    let done = disk.counts().changes;
    disk.crash_at(done + 1);
    file.write_at(0, &[2; 512]).unwrap();
    assert!(file.sync().is_err(), "the cut comes during the second change");
    assert!(disk.is_dead() && file.read_at(0, &mut [0]).is_err() && file.write_at(0, &[3]).is_err());
    let left = outcomes(&disk);
    assert!(left.contains(&Some(vec![1; 4096])) && left.len() > 2);
    assert!(left.iter().flatten().all(|bytes| !bytes.contains(&3)));
}

#[test]
fn the_same_seed_leaves_the_same_disk() {
    let (disk, file) = one_file();
    for at in 0..20 {
        file.write_at(at * 300, &[2; 700]).unwrap();
    }
    for seed in 0..20 {
        assert_eq!(disk.crash(seed).contents(NAME), disk.crash(seed).contents(NAME));
    }
}

#[test]
fn one_handle_has_the_lock_until_it_is_closed() {
    let (disk, first) = one_file();
    let second = disk.open(name()).unwrap();
    assert!(first.try_lock().unwrap() && first.try_lock().unwrap());
    assert!(!second.try_lock().unwrap());
    drop(first);
    assert!(second.try_lock().unwrap());
}

#[test]
fn stalled_syncs_wait_until_the_disk_heals() {
    let (disk, file) = one_file();
    disk.stall_syncs();
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || done.send(file.sync()).unwrap());
    assert_eq!(is_done.try_recv().unwrap_err(), mpsc::TryRecvError::Empty);
    disk.heal();
    is_done.recv().unwrap().unwrap();
}
