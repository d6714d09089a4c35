//! The keys of other crates' sessions, and what a change of one waits for.

use std::sync::mpsc;

use sessile_codec::Patch;

use super::*;
use crate::memory::Claim;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `ask` on its own thread, and returns a receiver for the result.
fn asked<T: Send + 'static>(store: &Store, ask: impl FnOnce(&Store) -> T + Send + 'static) -> mpsc::Receiver<T> {
    let (store, (answer, answered)) = (store.clone(), mpsc::channel());
    thread::spawn(move || answer.send(ask(&store)));
    answered
}

fn record(key: &Key, owner: OwnerHash, revision: u64) -> Record {
    let meta = Meta { owner, revision, idle_deadline_ms: u64::MAX, absolute_deadline_ms: u64::MAX, ..Meta::default() };
    Patch::new().apply(None, key, &meta, &Limits::UNLIMITED).unwrap()
}

/// The keys are in files: if they change, existing sessions are not found.
#[test]
fn the_keys_and_flags_of_other_crates_sessions_are_what_they_were_in_the_first_release() {
    let keys = [
        0xf60b_f1cd_0971_1598_c766_95c6_190f_fbb2_u128,
        0xb8b9_49f9_c823_8aba_0934_eda9_fee0_f8ed,
        0x6f79_bd82_94ac_d908_533d_7707_5fb9_d8cb,
        0xfbc9_0231_b78f_b893_70df_f44e_fc16_9108,
    ];
    for (number, (kind, key)) in (1_u16..).zip(ForeignKind::ALL.into_iter().zip(keys)) {
        assert_eq!(u128::from_be_bytes(kind.key(b"id")), key, "{kind:?}");
        // All other flags stay; the kind is replaced.
        for (before, after) in [(0, 0), (0xffff, 0xf0ff), (0x0a05, 0x0005)] {
            assert_eq!(kind.mark(before), after | number << 8, "{kind:?}");
        }
        let is_of = |other: ForeignKind| other.is_of(number << 8 | 1);
        assert_eq!(ForeignKind::ALL.map(is_of), ForeignKind::ALL.map(|other| other == kind));
        assert!(!kind.is_of(1), "one of ours");
    }
}

#[test]
fn ends_are_remembered_for_crates_with_one_call_that_creates_and_changes() {
    for kind in ForeignKind::ALL {
        let store = crate::testing::store();
        store.use_foreign(kind);
        let key = kind.key(b"id");
        store.note_foreign_end(&key);
        let puts = matches!(kind, ForeignKind::AxumSession | ForeignKind::Poem);
        assert_eq!(store.0.shared.ended.contains(&key), puts, "{kind:?}");
    }
}

#[test]
fn a_session_that_the_sweeper_deletes_from_the_file_is_waited_for_but_not_for_ever() {
    let store = crate::testing::store();
    let key = ForeignKind::Poem.key(b"id");
    assert_eq!(store.0.memory.claim(&key, 0), Claim::Claimed);
    let occupant = move |store: &Store| store.occupant(&key).map(|occupant| matches!(occupant, Occupant::Nothing(_)));
    let began = Instant::now();
    let answer = asked(&store, occupant).recv_timeout(PATIENCE).expect("it gives up");
    assert!(matches!(answer, Err(Error::TimedOut { after }) if after == CLAIM_TIMEOUT && began.elapsed() >= after));
    let answered = asked(&store, occupant);
    assert!(answered.recv_timeout(Duration::from_millis(50)).is_err(), "it waits");
    store.0.memory.release(&key);
    assert!(answered.recv_timeout(PATIENCE).expect("the key is free").unwrap());
}

#[test]
fn a_session_changes_hands_while_nobody_lists_those_of_either_owner() {
    const ADA: OwnerHash = [7; 16];
    let store = crate::testing::store();
    let key = ForeignKind::Poem.key(b"id");
    store.create_foreign(&key, |revision| Ok(record(&key, NOBODY, revision)), Durability::Quick).unwrap().unwrap();
    for (owner, revision) in [(ADA, 2), (NOBODY, 3)] {
        let change =
            move |_: &Record| Ok(Change::Commit { record: record(&key, owner, revision), durability: Durability::Quick });
        let listing = store.lock_owners([ADA, NOBODY]);
        let changed = asked(&store, move |store| store.change_foreign(&key, change).map(|ticket| ticket.is_some()));
        assert!(changed.recv_timeout(Duration::from_millis(50)).is_err(), "it waits");
        drop(listing);
        assert!(changed.recv_timeout(PATIENCE).expect("the lists are unlocked").unwrap());
    }
    // A change that keeps the owner waits for no lock.
    let _listing = store.lock_owners([ADA, NOBODY]);
    let change = move |_: &Record| Ok(Change::Commit { record: record(&key, NOBODY, 4), durability: Durability::Quick });
    let changed = asked(&store, move |store| store.change_foreign(&key, change).map(|ticket| ticket.is_some()));
    assert!(changed.recv_timeout(PATIENCE).expect("it has no owner").unwrap());
}
