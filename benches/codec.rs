//! T12: a session to bytes and back, beside the MessagePack map that the stores of tower-sessions write.

use std::hint::black_box;

use sessile_benches::{Target, TypicalModel, compare, model, report, row, sized, tower_record, typical};
use sessile_codec::{Entry, Key, Limits, Meta, Patch, Record, View};
use tower_sessions::session::Record as TowerRecord;

const KEY: Key = [7; 16];

fn main() {
    let limits = Limits::default();
    let record = typical_record(&limits);
    let mut tower = tower_record(7);
    tower.data.insert("user".to_owned(), serde_json::to_value(model(7)).expect("it is JSON"));
    let stored = rmp_serde::to_vec(&tower).expect("it is JSON");
    check(&record, &stored, &limits);
    let (rounds, calls) = (sized(500, 20), 200);

    let [update, longer, tower_update] = compare(
        rounds,
        calls,
        [
            &mut repeat(|| updated(&record, 1, &limits)),
            &mut repeat(|| updated(&record, 1000, &limits)),
            &mut repeat(|| tower_updated(&stored, 1)),
        ],
    );
    report("T12", "update of one key", tower_update / update, "x faster than a MessagePack map", Target::AtLeast(10.0));
    row("sessile, patch on a record", &[(update, "ns"), (record.bytes().len() as f64, "bytes")]);
    row("sessile, by a value of another length", &[(longer, "ns"), (tower_update / longer, "x faster")]);
    row("tower-sessions, decode, insert, encode", &[(tower_update, "ns"), (stored.len() as f64, "bytes")]);

    let [number, tower_number, view, tower_user] = compare(
        rounds,
        calls,
        [
            &mut repeat(|| visits_of(&record)),
            &mut repeat(|| tower_visits_of(&stored)),
            &mut repeat(|| user_of(&record)),
            &mut repeat(|| tower_user_of(&stored)),
        ],
    );
    let (target, unit) = (Target::AtLeast(70.0), "x faster than a MessagePack map");
    report("T12", "typed read of a number", tower_number / number, unit, target);
    row("sessile, number of the serde lane", &[(number, "ns")]);
    row("tower-sessions, decode and get", &[(tower_number, "ns")]);
    report("T12", "typed read of a model with texts and a list", tower_user / view, unit, target);
    row("sessile, view, checked", &[(view, "ns")]);
    row("tower-sessions, decode and get", &[(tower_user, "ns")]);

    let [encode, from_bytes, tower_encode, tower_decode] = compare(
        rounds,
        calls,
        [
            &mut repeat(|| typical_record(&limits)),
            &mut repeat(|| Record::check(record.bytes(), &KEY, limits.record_bytes).expect("it is a record")),
            &mut repeat(|| rmp_serde::to_vec(&tower).expect("it is JSON")),
            &mut repeat(|| tower_decoded(&stored)),
        ],
    );
    row("sessile, all values to a new record", &[(encode, "ns")]);
    row("sessile, bytes from disk to a record", &[(from_bytes, "ns")]);
    row("tower-sessions, encode", &[(tower_encode, "ns")]);
    row("tower-sessions, decode", &[(tower_decode, "ns")]);
}

/// The typical values and the typical model.
fn typical_record(limits: &Limits) -> Record {
    let mut patch = Patch::new();
    for (key, value) in typical(7) {
        patch.set(key, Entry::serde(&value, limits).expect("it is small"), limits).expect("it is small");
    }
    patch.set("user", Entry::model(&model(7), limits).expect("it is small"), limits).expect("it is small");
    patch.apply(None, &KEY, &Meta::default(), limits).expect("it is small")
}

fn updated(record: &Record, visits: u64, limits: &Limits) -> Record {
    let mut patch = Patch::new();
    patch.set("visits", Entry::serde(&visits, limits).expect("it is small"), limits).expect("it is small");
    patch.apply(Some(record), &KEY, &record.meta(), limits).expect("it is small")
}

fn visits_of(record: &Record) -> u64 {
    record.get("visits").expect("it is there").get().expect("it is a number")
}

fn user_of(record: &Record) -> u64 {
    let user: View<TypicalModel> = record.clone().into_current_view("user").expect("it is a user");
    user.user_id.to_native()
}

fn tower_decoded(stored: &[u8]) -> TowerRecord {
    rmp_serde::from_slice(stored).expect("it was written by the same type")
}

fn tower_updated(stored: &[u8], visits: u64) -> Vec<u8> {
    let mut record = tower_decoded(stored);
    record.data.insert("visits".to_owned(), serde_json::to_value(visits).expect("it is a number"));
    rmp_serde::to_vec(&record).expect("it is JSON")
}

fn tower_visits_of(stored: &[u8]) -> u64 {
    serde_json::from_value(tower_decoded(stored).data["visits"].clone()).expect("it is a number")
}

fn tower_user_of(stored: &[u8]) -> u64 {
    let user: TypicalModel = serde_json::from_value(tower_decoded(stored).data["user"].clone()).expect("it is a user");
    user.user_id
}

fn check(record: &Record, stored: &[u8], limits: &Limits) {
    assert_eq!((visits_of(record), tower_visits_of(stored)), (0, 0));
    assert_eq!((user_of(record), tower_user_of(stored)), (7, 7));
    assert_eq!(visits_of(&updated(record, 5, limits)), 5);
    assert_eq!(tower_visits_of(&tower_updated(stored, 5)), 5);
}

/// Does `work` as often as it is told.
fn repeat<T>(work: impl Fn() -> T) -> impl FnMut(usize) {
    move |calls| {
        for _ in 0..calls {
            black_box(work());
        }
    }
}
