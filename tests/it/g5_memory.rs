//! G5: memory stays within its budget, and eviction loses nothing.

use crate::support::{OnDisk, n_of, saved};

#[test]
fn g5_ten_times_more_sessions_than_fit_are_all_there() {
    let disk = OnDisk::with(|builder| builder.memory_budget(64 << 10));
    let sessions: Vec<_> = std::thread::scope(|scope| {
        let some = |from: u64| (from..from + 250).map(|n| (n, saved(&disk.store, n).1)).collect::<Vec<_>>();
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(move || some(thread * 1000))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    disk.store.flush().wait().unwrap();
    let stats = disk.store.stats();
    assert!(stats.memory_bytes <= stats.memory_budget_bytes, "{stats:?}");
    assert!(stats.evictions > 1500, "{stats:?}");
    for (n, token) in &sessions {
        assert_eq!(n_of(&disk.store, token), Some(*n));
    }
    assert!(disk.store.stats().memory_bytes <= stats.memory_budget_bytes);
}

#[test]
fn g5_a_store_without_any_memory_works() {
    let disk = OnDisk::with(|builder| builder.memory_budget(0));
    let (session, token) = saved(&disk.store, 1);
    session.insert("n", 2_u64).unwrap();
    session.save().wait().unwrap();
    disk.store.flush().wait().unwrap();
    assert_eq!(disk.store.stats().memory_sessions, 0);
    let again = disk.store.session(Some(&token)).unwrap();
    again.update("n", |n: Option<u64>| n.unwrap() + 1).unwrap();
    again.rotate();
    again.save().wait().unwrap();
    assert_eq!(n_of(&disk.store, &again.token().unwrap()), Some(3));
    again.destroy();
    again.save().wait().unwrap();
    disk.store.flush().wait().unwrap();
    assert_eq!(disk.store.stats().disk_sessions, 0);
}
