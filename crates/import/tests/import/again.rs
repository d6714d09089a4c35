//! Repeated imports: no user who has signed out is signed in again, and no newer change is lost.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};
use sessile::{Durability, OwnerLimit, Store, testing::ManualClock};
use sessile_fault_disk::FaultDisk;
use sessile_import::{Import, Imported, Outcome, sources};
use sessile_tower_sessions::TowerSessions;
use time::OffsetDateTime;
use tower_sessions_core::{
    SessionStore,
    session::{Id, Record},
};

use crate::loaded;

const HOUR: Duration = Duration::from_hours(1);
const START: Duration = Duration::from_hours(500_000);

/// The source store, which changes between imports.
#[derive(Clone, Default)]
struct Old(Vec<Record>);

fn id(n: i128) -> Id {
    Id(n)
}

fn session(n: i128, values: &Value, ends: Duration) -> Record {
    let data = values.as_object().unwrap().clone().into_iter().collect();
    Record { id: id(n), data, expiry_date: OffsetDateTime::UNIX_EPOCH + START + ends }
}

impl Old {
    fn of(users: &[(i128, u32)]) -> Self {
        Self(users.iter().map(|(n, user)| session(*n, &json!({"user": user}), 24 * HOUR)).collect())
    }

    fn put(&mut self, record: Record) {
        self.0.retain(|other| other.id != record.id);
        self.0.push(record);
    }

    fn remove(&mut self, n: i128) {
        self.0.retain(|record| record.id != id(n));
    }

    fn pairs(&self) -> Vec<(String, Vec<u8>)> {
        self.0.iter().map(|record| (record.id.to_string(), rmp_serde::to_vec(record).unwrap())).collect()
    }

    fn import(&self, store: &Store) -> Imported {
        Import::into(store).source("old").tower_sessions_records(self.pairs()).unwrap()
    }
}

/// A store on a simulated disk, with a manual clock.
struct Target {
    store: Store,
    clock: ManualClock,
    disk: FaultDisk,
}

impl Target {
    fn new() -> Self {
        Self::on(FaultDisk::new(0), ManualClock::at(std::time::UNIX_EPOCH + START))
    }

    fn on(disk: FaultDisk, clock: ManualClock) -> Self {
        let store = Store::builder().clock(clock.clone()).journal_bytes(192 << 10).open_on(&disk).unwrap();
        Self { store, clock, disk }
    }

    /// Returns the store as a power cut now leaves it.
    fn after_power_cut(&self) -> Self {
        Self::on(self.disk.crash(1), self.clock.clone())
    }

    fn reopened(self) -> Self {
        self.store.close().unwrap();
        Self::on(self.disk.copy(), self.clock)
    }

    fn sessions(&self) -> TowerSessions {
        TowerSessions::new(self.store.clone()).owned_by(user)
    }

    async fn has(&self, n: i128) -> Option<HashMap<String, Value>> {
        loaded(&self.store, id(n)).await.map(|record| record.data)
    }

    async fn sign_out(&self, n: i128) {
        SessionStore::delete(&self.sessions(), &id(n)).await.unwrap();
    }

    /// Changes the session as a visitor's request does.
    async fn change(&self, n: i128, value: i32) {
        let mut record = loaded(&self.store, id(n)).await.unwrap();
        record.data.insert("changed".to_owned(), value.into());
        SessionStore::save(&self.sessions(), &record).await.unwrap();
    }
}

fn user(data: &HashMap<String, Value>) -> Option<String> {
    Some(data.get("user")?.to_string())
}

/// Checks that only these counts are not zero.
#[track_caller]
fn is(imported: &Imported, counts: &[(&str, u64)]) {
    let all = [
        ("created", imported.created),
        ("updated", imported.updated),
        ("unchanged", imported.unchanged),
        ("kept", imported.kept),
        ("ended_here", imported.ended_here),
        ("gone", imported.gone),
        ("expired", imported.expired),
        ("refused", imported.refused),
    ];
    let found: Vec<_> = all.into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(found, counts, "{:?}", imported.reasons);
}

#[tokio::test]
async fn whoever_has_signed_out_here_stays_signed_out_over_restarts_and_power_cuts() {
    let (old, new) = (Old::of(&[(1, 1), (2, 2), (3, 3)]), Target::new());
    is(&old.import(&new.store), &[("created", 3)]);
    new.sign_out(1).await;
    is(&old.import(&new.after_power_cut().store), &[("unchanged", 2), ("ended_here", 1)]);
    is(&old.import(&new.store), &[("unchanged", 2), ("ended_here", 1)]);
    new.store.sweep().wait().unwrap();
    let new = new.reopened();
    new.clock.advance(10 * HOUR);
    for _ in 0..2 {
        is(&old.import(&new.store), &[("unchanged", 2), ("ended_here", 1)]);
        assert_eq!(new.has(1).await, None);
        assert!(new.has(2).await.is_some());
    }
    assert_eq!((new.store.stats().sessions, new.store.stats().disk_sessions), (2, 2), "a note is no session");
}

#[tokio::test]
async fn every_end_here_counts() {
    let new = Target::new();
    let old = Old::of(&[(1, 1), (2, 1), (3, 3), (4, 4), (5, 5)]);
    is(&Import::into(&new.store).source("old").owned_by(user).tower_sessions_records(old.pairs()).unwrap(), &[("created", 5)]);
    assert_eq!(new.store.destroy_sessions_of(1).wait().unwrap(), 2);
    let handle = new.store.sessions_of(3).unwrap()[0].handle;
    assert!(new.store.destroy_session_of(3, &handle).wait().unwrap());
    // tower-sessions changes an id by deleting the session and creating it under another id.
    let mut cycled = loaded(&new.store, id(4)).await.unwrap();
    new.sign_out(4).await;
    cycled.id = Id::default();
    SessionStore::create(&new.sessions(), &mut cycled).await.unwrap();
    // A session that was to end sooner than in the source is over here.
    let mut shortened = loaded(&new.store, id(5)).await.unwrap();
    shortened.expiry_date = OffsetDateTime::UNIX_EPOCH + START + HOUR;
    SessionStore::save(&new.sessions(), &shortened).await.unwrap();
    new.clock.advance(2 * HOUR);
    new.store.sweep().wait().unwrap();
    is(&old.import(&new.store), &[("ended_here", 5)]);
    assert_eq!(new.store.stats().sessions, 1);
    assert!(loaded(&new.store, cycled.id).await.is_some());
}

#[tokio::test]
async fn an_end_by_the_limit_of_an_owner_or_of_the_store_counts() {
    let (clock, old) = (ManualClock::at(std::time::UNIX_EPOCH + START), Old::of(&[(1, 1), (2, 1)]));
    let builder = Store::builder().clock(clock.clone()).sessions_per_owner(1, OwnerLimit::EvictOldest);
    let store = builder.open_on(&FaultDisk::new(0)).unwrap();
    let import = |store: &Store| Import::into(store).owned_by(user).tower_sessions_records(old.pairs()).unwrap();
    is(&import(&store), &[("created", 2)]);
    assert_eq!(store.sessions_of(1).unwrap().len(), 2, "an import ends none");
    clock.advance(HOUR);
    let own = store.session(None).unwrap();
    own.sign_in(1).unwrap();
    own.save().wait().unwrap();
    assert_eq!(store.sessions_of(1).unwrap().len(), 1);
    is(&import(&store), &[("ended_here", 2)]);

    let builder = Store::builder().clock(clock.clone()).max_sessions(1);
    let store = builder.open_on(&FaultDisk::new(0)).unwrap();
    let anonymous = Old::of(&[(1, 1)]);
    is(&anonymous.import(&store), &[("created", 1)]);
    let visitor = store.session(None).unwrap();
    visitor.insert("n", 1).unwrap();
    visitor.save().wait().unwrap();
    is(&anonymous.import(&store), &[("ended_here", 1)]);
}

#[tokio::test]
async fn the_newer_of_two_states_counts_unless_the_session_was_changed_here() {
    let (mut old, new) = (Old::of(&[(1, 1), (2, 2), (3, 3), (4, 4)]), Target::new());
    old.import(&new.store);
    // Visitors continue to use the old application.
    old.put(session(1, &json!({"user": 1, "cart": ["tea"]}), 24 * HOUR));
    old.put(session(2, &json!({"user": 2}), 48 * HOUR));
    old.put(session(3, &json!({"user": 3, "cart": ["tea"]}), 24 * HOUR));
    new.change(3, 1).await;
    is(&old.import(&new.store), &[("updated", 2), ("unchanged", 1), ("kept", 1)]);
    assert_eq!(new.has(1).await.unwrap()["cart"], json!(["tea"]));
    assert_eq!(new.has(3).await.unwrap(), HashMap::from([("user".to_owned(), json!(3)), ("changed".to_owned(), json!(1))]));
    // Once more, from the state that the last import left.
    old.put(session(1, &json!({"user": 1}), 24 * HOUR));
    old.put(session(3, &json!({"user": 3}), 24 * HOUR));
    is(&old.import(&new.store), &[("updated", 1), ("unchanged", 2), ("kept", 1)]);
    assert_eq!(new.has(1).await.unwrap(), HashMap::from([("user".to_owned(), json!(1))]));
    new.clock.advance(25 * HOUR);
    assert!(new.has(1).await.is_none() && new.has(2).await.is_some(), "the end comes over, too");
}

#[tokio::test]
async fn a_session_whose_end_moved_here_is_left_alone() {
    let (mut old, new) = (Old::of(&[(1, 1)]), Target::new());
    old.import(&new.store);
    let mut used = loaded(&new.store, id(1)).await.unwrap();
    used.expiry_date = OffsetDateTime::UNIX_EPOCH + START + 72 * HOUR;
    SessionStore::save(&new.sessions(), &used).await.unwrap();
    old.put(session(1, &json!({"user": 1, "cart": ["tea"]}), 25 * HOUR));
    is(&old.import(&new.store), &[("kept", 1)]);
    assert_eq!(loaded(&new.store, id(1)).await.unwrap().expiry_date, used.expiry_date);
    new.clock.advance(60 * HOUR);
    assert!(new.has(1).await.is_some());
}

#[tokio::test]
async fn a_session_that_was_here_before_any_import_is_left_alone_and_stays_ended() {
    let (old, new) = (Old::of(&[(1, 1), (2, 2)]), Target::new());
    let mut here = session(1, &json!({"user": 9}), 24 * HOUR);
    SessionStore::create(&new.sessions(), &mut here).await.unwrap();
    is(&old.import(&new.store), &[("created", 1), ("kept", 1)]);
    assert_eq!(new.has(1).await.unwrap()["user"], json!(9));
    new.sign_out(1).await;
    is(&old.import(&new.store), &[("unchanged", 1), ("ended_here", 1)]);
}

#[tokio::test]
async fn what_is_gone_from_the_source_ends_unless_it_was_changed_here() {
    let (mut old, new) = (Old::of(&[(1, 1), (2, 2), (3, 3), (4, 4)]), Target::new());
    old.import(&new.store);
    new.change(2, 1).await;
    (1..=3).for_each(|n| old.remove(n));
    let mut told = Vec::new();
    let import = Import::into(&new.store).source("old").each(|session| told.push((session.position, session.outcome.clone())));
    is(&import.tower_sessions_records(old.pairs()).unwrap(), &[("unchanged", 1), ("gone", 2)]);
    assert_eq!(told, [(Some(1), Outcome::Unchanged), (None, Outcome::Gone), (None, Outcome::Gone)]);
    assert!(new.has(1).await.is_none() && new.has(2).await.is_some() && new.has(3).await.is_none());
    assert!(new.after_power_cut().has(1).await.is_none());
    // The last time the source listed too few sessions; now it has them again.
    old.put(session(1, &json!({"user": 1}), 24 * HOUR));
    is(&old.import(&new.store), &[("created", 1), ("unchanged", 1)]);
}

#[tokio::test]
async fn nothing_is_gone_from_another_source_or_from_one_that_was_not_read_as_a_whole() {
    let (old, new) = (Old::of(&[(1, 1), (2, 2)]), Target::new());
    old.import(&new.store);
    let other = Old::of(&[(3, 3)]);
    is(&Import::into(&new.store).source("other").tower_sessions_records(other.pairs()).unwrap(), &[("created", 1)]);
    is(&Import::into(&new.store).tower_sessions_records(other.pairs()).unwrap(), &[("unchanged", 1)]);
    is(&Old::default().import(&new.store), &[]);
    // A session without a readable id may be any of them; a session with only an unreadable record still counts as present.
    let garbage = |id: String| vec![(id, b"garbage".to_vec())];
    let import = |pairs| Import::into(&new.store).source("old").tower_sessions_records(pairs).unwrap();
    is(&import(garbage("?".to_owned())), &[("refused", 1)]);
    is(&import([garbage("?".to_owned()), old.pairs()[1..].to_vec()].concat()), &[("unchanged", 1), ("refused", 1)]);
    is(&import([garbage(id(1).to_string()), old.pairs()[1..].to_vec()].concat()), &[("unchanged", 1), ("refused", 1)]);
    for n in 1..=3 {
        assert!(new.has(n).await.is_some(), "{n}");
    }
    is(&import(old.pairs()[1..].to_vec()), &[("unchanged", 1), ("gone", 1)]);
}

#[tokio::test]
async fn what_is_over_in_the_source_ends_and_what_went_on_there_comes_back() {
    let (mut old, new) = (Old::of(&[(1, 1), (2, 2), (3, 3)]), Target::new());
    old.put(session(3, &json!({"user": 3}), HOUR));
    old.import(&new.store);
    new.change(2, 1).await;
    // Signed out in the old application, by an end in the past.
    old.put(session(1, &json!({"user": 1}), Duration::ZERO));
    old.put(session(2, &json!({"user": 2}), Duration::ZERO));
    is(&old.import(&new.store), &[("unchanged", 1), ("expired", 2)]);
    assert!(new.has(1).await.is_none() && new.has(2).await.is_some());
    // 3 was used in the old application, and expired here.
    new.clock.advance(2 * HOUR);
    old.put(session(3, &json!({"user": 3}), 4 * HOUR));
    assert!(new.has(3).await.is_none());
    is(&old.import(&new.store), &[("created", 1), ("expired", 2)]);
    assert!(new.has(3).await.is_some());
    assert_eq!(new.store.stats().sessions, 2);
}

#[tokio::test]
async fn an_import_that_was_interrupted_is_run_again() {
    let old = Old::of(&(0..3000).map(|n| (n, 1)).collect::<Vec<_>>());
    let new = Target::new();
    // The process ends during the import.
    let interrupted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let import = Import::into(&new.store).source("old").each(|session| assert!(session.position < Some(2500)));
        import.tower_sessions_records(old.pairs())
    }));
    assert!(interrupted.is_err());
    assert!(sources(&new.store).unwrap().is_empty(), "it was not finished");
    let found = new.after_power_cut();
    let imported = old.import(&found.store);
    assert_eq!(imported.created + imported.unchanged, 3000);
    assert!(imported.unchanged >= 1000, "{imported:?}");
    is(&old.import(&found.store), &[("unchanged", 3000)]);
    // A user who signs out during the import stays signed out.
    let new = Target::new();
    let runtime = tokio::runtime::Handle::current();
    let import = Import::into(&new.store).source("old").each(|session| {
        if session.position == Some(500) {
            std::thread::scope(|scope| scope.spawn(|| runtime.block_on(new.sign_out(10))).join().unwrap());
        }
    });
    is(&import.tower_sessions_records(old.pairs()).unwrap(), &[("created", 3000)]);
    is(&old.import(&new.after_power_cut().store), &[("unchanged", 2999), ("ended_here", 1)]);
}

#[test]
fn the_notes_go_when_the_sessions_would_have_ended() {
    let (old, new) = (Old::of(&[(1, 1), (2, 2)]), Target::new());
    old.import(&new.store);
    new.clock.advance(25 * HOUR);
    new.store.flush().wait().unwrap();
    let new = new.reopened();
    new.store.sweep().wait().unwrap();
    assert_eq!((new.store.stats().sessions, new.store.stats().disk_sessions), (0, 0));
    // The two sessions and the two notes are gone; the note of the import stays.
    assert_eq!(new.store.stats().swept, 4);
    is(&old.import(&new.store), &[("expired", 2)]);
    assert_eq!(sources(&new.store).unwrap().len(), 1);
}

#[test]
fn notes_end_no_watch_and_are_no_events() {
    let (old, new) = (Old::of(&[(1, 1)]), Target::new());
    let mut events = new.store.subscribe();
    old.import(&new.store);
    new.store.close().unwrap();
    let new = Target::on(new.disk.copy(), new.clock);
    let mut later = new.store.subscribe();
    new.clock.advance(25 * HOUR);
    new.store.sweep().wait().unwrap();
    let told = |events: &mut sessile::events::Events| std::iter::from_fn(|| events.try_next()).count();
    assert_eq!((told(&mut events), told(&mut later)), (1, 1), "that the session was created, and that it expired");
}

#[test]
fn the_store_notes_what_was_imported_when() {
    let (old, new) = (Old::of(&[(1, 1), (2, 2)]), Target::new());
    old.import(&new.store);
    new.clock.advance(HOUR);
    Old::of(&[(1, 1)]).import(&new.store);
    Import::into(&new.store).json_lines(&b""[..]).unwrap();
    let new = new.reopened();
    let found = sources(&new.store).unwrap();
    let named: Vec<_> = found.iter().map(|source| (source.name.as_deref(), source.sessions)).collect();
    assert_eq!(named, [(Some("old"), 1), (None, 0)]);
    let start = std::time::UNIX_EPOCH + START;
    assert_eq!((found[0].first, found[0].last, found[1].first), (start, start + HOUR, start + HOUR));
}

#[tokio::test]
async fn imported_sessions_belong_to_their_users_at_once() {
    let (mut old, new) = (Old::of(&[(1, 7), (2, 7), (3, 8)]), Target::new());
    let import = |old: &Old| Import::into(&new.store).source("old").owned_by(user).tower_sessions_records(old.pairs()).unwrap();
    // An import without the function may have run first.
    is(&old.import(&new.store), &[("created", 3)]);
    assert_eq!(new.store.sessions_of(7).unwrap().len(), 0);
    is(&import(&old), &[("updated", 3)]);
    is(&import(&old), &[("unchanged", 3)]);
    is(&old.import(&new.store), &[("unchanged", 3)]);
    assert_eq!(new.store.sessions_of(7).unwrap().len(), 2);
    old.put(session(2, &json!({"user": 8}), 24 * HOUR));
    is(&import(&old), &[("updated", 1), ("unchanged", 2)]);
    assert_eq!((new.store.sessions_of(7).unwrap().len(), new.store.sessions_of(8).unwrap().len()), (1, 2));
    assert_eq!(new.store.destroy_sessions_of(8).wait().unwrap(), 2);
    is(&import(&old), &[("unchanged", 1), ("ended_here", 2)]);
    assert!(new.has(1).await.is_some());
}

#[test]
fn what_an_import_without_owners_stores_is_gone_through_again() {
    let (old, new) = (Old::of(&[(1, 7)]), Target::new());
    assert_eq!(new.sessions().index_owners(1).unwrap(), 0);
    old.import(&new.store);
    assert_eq!(new.sessions().index_owners(1).unwrap(), 1);
    is(&Import::into(&new.store).owned_by(user).tower_sessions_records(Old::of(&[(2, 7)]).pairs()).unwrap(), &[("created", 1)]);
    assert_eq!(new.store.sessions_of(7).unwrap().len(), 2);
}

#[test]
fn a_full_store_refuses_sessions_and_the_others_come_over() {
    let clock = ManualClock::at(std::time::UNIX_EPOCH + START);
    let builder = Store::builder().clock(clock).max_sessions(2).durability(Durability::Relaxed);
    let store = builder.open_on(&FaultDisk::new(0)).unwrap();
    let own = store.session(None).unwrap();
    own.sign_in(1).unwrap();
    own.save().wait().unwrap();
    let import = Import::into(&store).owned_by(user);
    let imported = import.tower_sessions_records(Old::of(&[(1, 7), (2, 7)]).pairs()).unwrap();
    is(&imported, &[("created", 1), ("refused", 1)]);
    assert!(imported.reasons[0].contains("max_sessions"), "{:?}", imported.reasons);
}

#[test]
fn an_import_ends_when_the_disk_fails() {
    let (old, new) = (Old::of(&(0..50).map(|n| (n, 1)).collect::<Vec<_>>()), Target::new());
    new.disk.set_capacity(Some(new.disk.used_bytes()));
    let long = Old(vec![session(1, &json!({"long": "x".repeat(300_000)}), HOUR)]);
    assert!(Import::into(&new.store).tower_sessions_records(long.pairs()).is_err());
    new.disk.heal();
    let began = std::time::Instant::now();
    // It can be run again once the store has found that there is room.
    while Import::into(&new.store).tower_sessions_records(old.pairs()).is_err() {
        assert!(began.elapsed() < Duration::from_secs(10));
        std::thread::yield_now();
    }
    assert_eq!(old.import(&new.store).unchanged, 50);
    new.store.close().unwrap();
    assert!(Import::into(&new.store).tower_sessions_records(old.pairs()).is_err());
}
