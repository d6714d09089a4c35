//! The owners of each adapter's sessions: "sign out everywhere", also for sessions from before the application set owners.

use std::time::Duration;

use sessile::{Builder, Durability, Error, OwnerLimit, testing::ManualClock};
use sessile_fault_disk::{FaultDisk, IoKind};
use session_store_contract::Data;

use crate::support::{Adapter, OnDisk, error_text, let_owner_functions_use, uses_by_owner_functions};

const HOUR: Duration = Duration::from_hours(1);

for_each_adapter! {
    whoever_is_signed_out_everywhere_stays_signed_out
    whose_a_session_is_is_durable_in_every_class
    an_owner_has_as_many_sessions_as_allowed
    sessions_of_an_owner_that_are_only_on_disk_count
    a_store_that_is_full_of_owners_refuses_another_and_names_its_limit
    sessions_that_are_there_already_get_their_owner_by_one_call
    the_call_reads_the_sessions_once_for_each_version
    a_session_that_is_loaded_gets_its_missing_owner
    an_adapter_that_knows_no_owners_takes_none_away
    what_an_adapter_without_owners_stores_is_gone_through_again
    the_limit_of_an_owner_ends_no_session_that_only_gets_its_owner
    without_a_function_the_call_is_an_error
    a_load_is_answered_while_the_disk_is_full
    the_function_may_use_the_store_and_the_owners_list
}

fn on<A: Adapter>(disk: &FaultDisk, settings: impl FnOnce(Builder) -> Builder) -> A {
    let clock = ManualClock::at(std::time::UNIX_EPOCH + Duration::from_hours(500_000));
    A::over(OnDisk::at(disk, clock, settings))
}

/// The same store, without a function and as it was before.
fn again<A: Adapter>(adapter: A) -> A {
    adapter.reopen().expect("the store is in a file")
}

fn of(user: u32) -> Data {
    Data::from([("user".to_owned(), user.to_string()), ("other".to_owned(), (user + 100).to_string())])
}

fn count<A: Adapter>(adapter: &A, user: u32) -> usize {
    adapter.store().sessions_of(user.to_string()).unwrap().len()
}

fn whoever_is_signed_out_everywhere_stays_signed_out<A: Adapter>() {
    let adapter = on::<A>(&FaultDisk::new(0), |builder| builder).owned_by("user");
    let ids = [adapter.create(&of(7), HOUR).unwrap(), adapter.create(&of(7), HOUR).unwrap()];
    let other = adapter.create(&of(8), HOUR).unwrap();
    assert_eq!(adapter.store().destroy_sessions_of("7").wait().unwrap(), 2);
    adapter.store().sweep().wait().unwrap();
    for id in &ids {
        // A request that began before.
        let _ = adapter.save(id, &of(7), HOUR);
        assert_eq!(adapter.load(id).unwrap(), None, "a late request brings it back");
    }
    assert_eq!((count(&adapter, 7), count(&adapter, 8)), (0, 1));
    assert_eq!(adapter.load(&other).unwrap(), Some(of(8)));
}

fn whose_a_session_is_is_durable_in_every_class<A: Adapter>() {
    for class in [Durability::Quick, Durability::Relaxed, Durability::Durable] {
        let disk = FaultDisk::new(0);
        let settings = |builder: Builder| builder.durability(class).flush_interval(HOUR);
        let adapter = on::<A>(&disk, settings).owned_by("user");
        let after_crash = |user: u32| count(&on::<A>(&disk.crash(1), |builder| builder), user);
        let nobody = adapter.create(&Data::new(), HOUR).unwrap();
        let sessions = on::<A>(&disk.crash(1), |builder| builder).store().stats().sessions;
        assert_eq!(sessions, u64::from(class == Durability::Durable), "{class:?}");
        let id = adapter.create(&of(7), HOUR).unwrap();
        assert_eq!(after_crash(7), 1, "{class:?}");
        adapter.save(&id, &of(8), HOUR).unwrap();
        assert_eq!((after_crash(7), after_crash(8)), (0, 1), "{class:?}");
        adapter.save(&nobody, &of(9), HOUR).unwrap();
        assert_eq!(after_crash(9), 1, "{class:?}");
        adapter.save(&id, &Data::new(), HOUR).unwrap();
        assert_eq!((after_crash(7), after_crash(8)), (0, 0), "{class:?}");
    }
}

fn an_owner_has_as_many_sessions_as_allowed<A: Adapter>() {
    let limit = |policy| move |builder: Builder| builder.sessions_per_owner(2, policy);
    let adapter = on::<A>(&FaultDisk::new(0), limit(OwnerLimit::EvictOldest)).owned_by("user");
    let ids: Vec<_> = (0..5)
        .map(|_| {
            adapter.advance(Duration::from_secs(1));
            adapter.create(&of(7), HOUR).unwrap()
        })
        .collect();
    let alive: Vec<bool> = ids.iter().map(|id| adapter.load(id).unwrap().is_some()).collect();
    assert_eq!(alive, [false, false, false, true, true]);
    let _ = adapter.save(&ids[0], &of(7), HOUR);
    assert_eq!(adapter.load(&ids[0]).unwrap(), None, "what the limit ended stays ended");
    let adapter = on::<A>(&FaultDisk::new(0), limit(OwnerLimit::Refuse)).owned_by("user");
    assert!(adapter.create(&of(7), HOUR).is_ok() && adapter.create(&of(7), HOUR).is_ok());
    assert!(adapter.create(&of(7), HOUR).is_err());
    assert_eq!(count(&adapter, 7), 2);
    // A session that becomes one of theirs counts too.
    let id = adapter.create(&of(8), HOUR).unwrap();
    assert!(adapter.save(&id, &of(7), HOUR).is_err());
    assert_eq!((count(&adapter, 7), count(&adapter, 8)), (2, 1));
}

fn sessions_of_an_owner_that_are_only_on_disk_count<A: Adapter>() {
    let disk = FaultDisk::new(0);
    let adapter = on::<A>(&disk, |builder| builder).owned_by("user");
    let ids: Vec<_> = (0..2)
        .map(|_| {
            adapter.advance(Duration::from_secs(1));
            adapter.create(&of(7), HOUR).unwrap()
        })
        .collect();
    adapter.store().close().unwrap();
    let reopen = |policy| {
        let adapter = on::<A>(&disk.crash(1), move |builder| builder.sessions_per_owner(2, policy)).owned_by("user");
        adapter.advance(Duration::from_mins(1));
        adapter
    };
    let adapter = reopen(OwnerLimit::Refuse);
    assert!(adapter.create(&of(7), HOUR).is_err());
    let adapter = reopen(OwnerLimit::EvictOldest);
    let id = adapter.create(&of(7), HOUR).unwrap();
    let alive: Vec<bool> = ids.iter().chain([&id]).map(|id| adapter.load(id).unwrap().is_some()).collect();
    assert_eq!(alive, [false, true, true]);
}

fn a_store_that_is_full_of_owners_refuses_another_and_names_its_limit<A: Adapter>() {
    let disk = FaultDisk::new(0);
    let settings = |builder: Builder| builder.durability(Durability::Durable).max_sessions(10);
    let adapter = on::<A>(&disk, settings).owned_by("user");
    let ids: Vec<_> = (0..10).map(|user| adapter.create(&of(user), HOUR).unwrap()).collect();
    adapter.store().flush().wait().unwrap();
    let is_full = |adapter: &A| {
        let text = error_text(&adapter.create(&of(10), HOUR).expect_err("no session without an owner is left"));
        assert!(text.contains("10 sessions, at most 10 are allowed") && text.contains("max_sessions"), "{text}");
        assert!(adapter.create(&Data::new(), HOUR).is_err());
        assert_eq!(adapter.store().stats().sessions, 10);
    };
    is_full(&adapter);
    adapter.save(&ids[0], &of(20), HOUR).expect("existing sessions continue");
    is_full(&on::<A>(&disk.crash(1), settings).owned_by("user"));
    // The end of one makes room for another.
    adapter.delete(&ids[1]).unwrap();
    adapter.create(&of(10), HOUR).unwrap();
    is_full(&adapter);
}

fn sessions_that_are_there_already_get_their_owner_by_one_call<A: Adapter>() {
    let adapter: A = on(&FaultDisk::new(0), |builder| builder);
    let in_file: Vec<_> = (0..10).map(|n| adapter.create(&of(n % 2), HOUR).unwrap()).collect();
    let adapter = again(adapter);
    let in_memory: Vec<_> = (0..4).map(|n| adapter.create(&of(n % 2), HOUR).unwrap()).collect();
    let nobody = adapter.create(&Data::new(), HOUR).unwrap();
    // A session of this crate has its own owner.
    let own = adapter.store().session(None).unwrap();
    own.sign_in("1").unwrap();
    own.save().wait().unwrap();
    assert_eq!((count(&adapter, 0), count(&adapter, 1)), (0, 1));
    let adapter = adapter.owned_by("user");
    assert_eq!(adapter.index_owners(1).unwrap(), 14);
    assert_eq!((count(&adapter, 0), count(&adapter, 1)), (7, 8));
    assert_eq!(adapter.store().destroy_sessions_of("0").wait().unwrap(), 7);
    for (n, id) in in_file.iter().chain(&in_memory).enumerate() {
        assert_eq!(adapter.load(id).unwrap().is_none(), n % 2 == 0);
    }
    assert_eq!(adapter.load(&nobody).unwrap(), Some(Data::new()));
    let found = on::<A>(&FaultDisk::new(0), |builder| builder);
    assert_eq!(found.owned_by("user").index_owners(1).unwrap(), 0, "in an empty store there is nothing to do");
}

fn the_call_reads_the_sessions_once_for_each_version<A: Adapter>() {
    let disk = FaultDisk::new(0);
    let adapter: A = on(&disk, |builder| builder);
    for n in 0..20 {
        adapter.create(&of(n), HOUR).unwrap();
    }
    let adapter = adapter.owned_by("user");
    assert_eq!(adapter.index_owners(1).unwrap(), 20);
    assert_eq!(adapter.index_owners(1).unwrap(), 0);
    let sessions = adapter.store().stats();
    assert_eq!((sessions.sessions, sessions.disk_sessions), (20, 20), "what is noted is no session");
    // After a restart, no session is read for it.
    let adapter = again(adapter).owned_by("user");
    let reads = || disk.counts().operations.get(&IoKind::Read).copied();
    let before = reads();
    assert_eq!((adapter.index_owners(1).unwrap(), reads()), (0, before));
    assert_eq!((adapter.store().stats().sessions, adapter.store().stats().disk_sessions), (20, 20));
    // The function returns something else now.
    let adapter = adapter.owned_by("other");
    assert_eq!(adapter.index_owners(2).unwrap(), 20);
    assert_eq!((count(&adapter, 3), count(&adapter, 103)), (0, 1));
    assert_eq!(again(adapter).owned_by("other").index_owners(2).unwrap(), 0);
}

fn a_session_that_is_loaded_gets_its_missing_owner<A: Adapter>() {
    let adapter: A = on(&FaultDisk::new(0), |builder| builder);
    let id = adapter.create(&of(7), HOUR).unwrap();
    let adapter = again(adapter).owned_by("user");
    assert_eq!(count(&adapter, 7), 0);
    assert_eq!(adapter.load(&id).unwrap(), Some(of(7)));
    assert_eq!(count(&adapter, 7), 1);
    let adapter = again(adapter);
    assert_eq!(count(&adapter, 7), 1, "and keeps it");
}

fn an_adapter_that_knows_no_owners_takes_none_away<A: Adapter>() {
    let adapter = on::<A>(&FaultDisk::new(0), |builder| builder).owned_by("user");
    let id = adapter.create(&of(7), HOUR).unwrap();
    let adapter = again(adapter);
    let mut changed = adapter.load(&id).unwrap().unwrap();
    changed.insert("more".to_owned(), "1".to_owned());
    adapter.save(&id, &changed, HOUR).unwrap();
    assert_eq!(count(&adapter, 7), 1);
}

fn what_an_adapter_without_owners_stores_is_gone_through_again<A: Adapter>() {
    let adapter = on::<A>(&FaultDisk::new(0), |builder| builder).owned_by("user");
    let id = adapter.create(&of(7), HOUR).unwrap();
    assert_eq!(adapter.index_owners(1).unwrap(), 0);
    // A release is rolled back, and rolled out again.
    let adapter = again(adapter);
    adapter.create(&of(8), HOUR).unwrap();
    let adapter = again(adapter).owned_by("user");
    assert_eq!(adapter.index_owners(1).unwrap(), 1);
    let adapter = again(adapter);
    adapter.save(&id, &of(9), HOUR).unwrap();
    let adapter = again(adapter).owned_by("user");
    assert_eq!(adapter.index_owners(1).unwrap(), 1);
    assert_eq!((count(&adapter, 7), count(&adapter, 8), count(&adapter, 9)), (0, 1, 1));
}

fn the_limit_of_an_owner_ends_no_session_that_only_gets_its_owner<A: Adapter>() {
    for policy in [OwnerLimit::Refuse, OwnerLimit::EvictOldest] {
        let adapter: A = on(&FaultDisk::new(0), |builder| builder.sessions_per_owner(1, policy));
        let ids: Vec<_> = (0..4).map(|_| adapter.create(&of(7), HOUR).unwrap()).collect();
        let adapter = adapter.owned_by("user");
        assert_eq!(adapter.load(&ids[0]).unwrap(), Some(of(7)));
        assert_eq!(adapter.index_owners(1).unwrap(), 3);
        assert_eq!(count(&adapter, 7), 4);
    }
}

fn without_a_function_the_call_is_an_error<A: Adapter>() {
    let adapter: A = on(&FaultDisk::new(0), |builder| builder);
    assert!(matches!(adapter.index_owners(1), Err(Error::Config { detail }) if detail.contains("owned_by")));
}

fn a_load_is_answered_while_the_disk_is_full<A: Adapter>() {
    let disk = FaultDisk::new(0);
    let adapter: A = on(&disk, |builder| builder.durability(Durability::Durable));
    let id = adapter.create(&of(7), HOUR).unwrap();
    disk.set_capacity(Some(disk.used_bytes()));
    let long = Data::from([("long".to_owned(), format!("{:?}", "x".repeat(2000)))]);
    assert!((0..1000).any(|_| adapter.create(&long, HOUR).is_err()));
    let adapter = adapter.owned_by("user");
    assert_eq!(adapter.load(&id).unwrap(), Some(of(7)));
    assert!(adapter.index_owners(1).is_err(), "but what is to be stored is not");
}

fn the_function_may_use_the_store_and_the_owners_list<A: Adapter>() {
    let disk = FaultDisk::new(0);
    let adapter = on::<A>(&disk, |builder| builder);
    let before = adapter.create(&of(7), HOUR).unwrap();
    let adapter = adapter.owned_by("user");
    let_owner_functions_use(adapter.store());
    let mut uses = 0;
    let mut is_asked_by = |call: &str| {
        let now = uses_by_owner_functions();
        assert!(now > uses, "{call} does not ask");
        uses = now;
    };
    assert_eq!(adapter.load(&before).unwrap(), Some(of(7)));
    is_asked_by("a load");
    let id = adapter.create(&of(7), HOUR).unwrap();
    is_asked_by("a new session");
    adapter.save(&id, &of(8), HOUR).unwrap();
    is_asked_by("a save");
    adapter.index_owners(1).unwrap();
    is_asked_by("the call for all sessions");
    assert_eq!((count(&adapter, 7), count(&adapter, 8)), (1, 1));
}
