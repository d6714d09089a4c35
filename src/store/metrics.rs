//! A store's statistics as metrics of the crate `metrics`: for Prometheus, OpenTelemetry, or any recorder of the program.
//!
//! Names follow OpenTelemetry's rules: our own namespace, dots between words, units apart from the name, variants as
//! attributes. Invariant: no attribute names a session, an owner or a token, so their number is bounded.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use crate::{Stats, Store};

impl Store {
    /// Publishes [`stats`](Self::stats) to the program's recorder of metrics, as counters and gauges.
    ///
    /// Call it before each export, or every few seconds. Requests do no work for metrics, so this costs them nothing. Each
    /// metric has the attribute `store` with this `name`, to distinguish several stores.
    ///
    /// | metric | unit | attributes |
    /// |---|---|---|
    /// | `sessile.requests` | | `outcome`: hit, miss, forged, ambiguous, expired; with hit also `tier`: memory, disk |
    /// | `sessile.commits` | | `outcome`: stored, dropped, refused |
    /// | `sessile.syncs`, `sessile.evictions`, `sessile.limited`, `sessile.swept` | | |
    /// | `sessile.corrupt_records`, `sessile.quarantined_records`, `sessile.torn_writes` | | |
    /// | `sessile.unreadable_values`, `sessile.changed_shapes` | | |
    /// | `sessile.device.proofs` | | `outcome`: registered, refreshed, refused |
    /// | `sessile.sessions` | | `tier`: all, memory, disk |
    /// | `sessile.memory.usage`, `sessile.memory.limit`, `sessile.file.size`, `sessile.journal.size` | By | |
    /// | `sessile.degraded` | | 1 while the disk refuses to work |
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// store.publish_metrics("main"); // then render, or wait for the next round
    /// ```
    pub fn publish_metrics(&self, name: &str) {
        publish(&self.stats(), name);
    }
}

fn publish(stats: &Stats, name: &str) {
    describe();
    let store = name.to_owned();
    let total = |metric: &'static str, value: u64, labels: &[(&'static str, &'static str)]| {
        let mut all = vec![metrics::Label::new("store", store.clone())];
        all.extend(labels.iter().map(|(key, value)| metrics::Label::from_static_parts(key, value)));
        counter!(metric, all).absolute(value);
    };
    total("sessile.requests", stats.memory_hits, &[("outcome", "hit"), ("tier", "memory")]);
    total("sessile.requests", stats.disk_hits, &[("outcome", "hit"), ("tier", "disk")]);
    total("sessile.requests", stats.misses, &[("outcome", "miss")]);
    total("sessile.requests", stats.forged, &[("outcome", "forged")]);
    total("sessile.requests", stats.ambiguous, &[("outcome", "ambiguous")]);
    total("sessile.requests", stats.expired, &[("outcome", "expired")]);
    total("sessile.commits", stats.commits, &[("outcome", "stored")]);
    total("sessile.commits", stats.dropped_commits, &[("outcome", "dropped")]);
    total("sessile.commits", stats.refused, &[("outcome", "refused")]);
    total("sessile.syncs", stats.syncs, &[]);
    total("sessile.evictions", stats.evictions, &[]);
    total("sessile.limited", stats.limited, &[]);
    total("sessile.swept", stats.swept, &[]);
    total("sessile.corrupt_records", stats.corrupt, &[]);
    total("sessile.unreadable_values", stats.unreadable, &[]);
    total("sessile.changed_shapes", stats.shape_changed, &[]);
    total("sessile.device.proofs", stats.device_registrations, &[("outcome", "registered")]);
    total("sessile.device.proofs", stats.device_refreshes, &[("outcome", "refreshed")]);
    total("sessile.device.proofs", stats.device_refusals, &[("outcome", "refused")]);
    total("sessile.quarantined_records", stats.quarantined, &[]);
    total("sessile.torn_writes", stats.torn_writes, &[]);

    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, exact to 2^53")]
    let now = |metric: &'static str, value: u64, labels: &[(&'static str, &'static str)]| {
        let mut all = vec![metrics::Label::new("store", store.clone())];
        all.extend(labels.iter().map(|(key, value)| metrics::Label::from_static_parts(key, value)));
        gauge!(metric, all).set(value as f64);
    };
    now("sessile.sessions", stats.sessions, &[("tier", "all")]);
    now("sessile.sessions", stats.memory_sessions, &[("tier", "memory")]);
    now("sessile.sessions", stats.disk_sessions, &[("tier", "disk")]);
    now("sessile.memory.usage", stats.memory_bytes, &[]);
    now("sessile.memory.limit", stats.memory_budget_bytes, &[]);
    now("sessile.file.size", stats.file_bytes, &[]);
    now("sessile.journal.size", stats.journal_bytes, &[]);
    now("sessile.degraded", u64::from(stats.degraded), &[]);
}

fn describe() {
    describe_counter!("sessile.requests", Unit::Count, "Sessions asked for");
    describe_counter!(
        "sessile.commits",
        Unit::Count,
        "Sessions created, changed, touched on disk or rotated, and those that were not"
    );
    describe_counter!("sessile.syncs", Unit::Count, "Synced writes to the journal");
    describe_counter!("sessile.evictions", Unit::Count, "Records that left memory to make room");
    describe_counter!(
        "sessile.limited",
        Unit::Count,
        "Sessions ended because their owner, or the store, had as many as allowed"
    );
    describe_counter!("sessile.swept", Unit::Count, "Expired sessions deleted from the file");
    describe_counter!("sessile.corrupt_records", Unit::Count, "Times a record on disk could not be read");
    describe_counter!(
        "sessile.unreadable_values",
        Unit::Count,
        "Times a stored value could not be read as the model asked for"
    );
    describe_counter!(
        "sessile.changed_shapes",
        Unit::Count,
        "Times a stored model had other fields than its version has in this build"
    );
    describe_counter!("sessile.device.proofs", Unit::Count, "Proofs of devices, by outcome");
    describe_counter!("sessile.quarantined_records", Unit::Count, "Damaged records that were put aside");
    describe_counter!("sessile.torn_writes", Unit::Count, "Writes that a crash had cut short");
    describe_gauge!("sessile.sessions", Unit::Count, "Sessions, expired ones that were not swept yet among them");
    describe_gauge!("sessile.memory.usage", Unit::Bytes, "Bytes that sessions take in memory");
    describe_gauge!("sessile.memory.limit", Unit::Bytes, "Bytes that sessions may take in memory");
    describe_gauge!("sessile.file.size", Unit::Bytes, "Size of the store's file");
    describe_gauge!("sessile.journal.size", Unit::Bytes, "Size of the journal's files");
    describe_gauge!("sessile.degraded", Unit::Count, "1 while the disk refuses to work");
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, atomics::AtomicU64};
    use parking_lot::Mutex;

    use super::*;

    /// Keeps what is published, by name and attributes.
    #[derive(Default)]
    struct Kept {
        counters: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
        gauges: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
        described: Mutex<BTreeMap<String, Option<Unit>>>,
    }

    impl Kept {
        fn slot(of: &Mutex<BTreeMap<String, Arc<AtomicU64>>>, key: &Key) -> Arc<AtomicU64> {
            let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            of.lock().entry(format!("{} {}", key.name(), labels.join(" "))).or_default().clone()
        }

        fn describe(&self, name: &KeyName, unit: Option<Unit>) {
            self.described.lock().insert(name.as_str().to_owned(), unit);
        }

        /// The counters and the gauges.
        fn values(&self) -> [BTreeMap<String, u64>; 2] {
            let values = |of: &Mutex<BTreeMap<String, Arc<AtomicU64>>>, number: fn(u64) -> u64| {
                let of = of.lock();
                of.iter()
                    .map(|(name, value)| (name.clone(), number(value.load(std::sync::atomic::Ordering::Relaxed))))
                    .collect()
            };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "they were small integers")]
            let gauge = |bits| f64::from_bits(bits) as u64;
            [values(&self.counters, |number| number), values(&self.gauges, gauge)]
        }
    }

    impl Recorder for Kept {
        fn describe_counter(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
            self.describe(&name, unit);
        }

        fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
            self.describe(&name, unit);
        }

        fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
            panic!("{} is no counter and no gauge", name.as_str());
        }

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(Self::slot(&self.counters, key))
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(Self::slot(&self.gauges, key))
        }

        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            panic!("{} is no counter and no gauge", key.name());
        }
    }

    /// Every field has another number. A new field must be added here, and its metric below.
    fn stats() -> Stats {
        Stats {
            memory_hits: 1,
            disk_hits: 2,
            misses: 3,
            forged: 4,
            ambiguous: 5,
            commits: 6,
            dropped_commits: 7,
            syncs: 8,
            evictions: 9,
            expired: 10,
            swept: 11,
            clock_jumps: 12,
            corrupt: 13,
            unreadable: 14,
            refused: 15,
            limited: 16,
            sealed: 17,
            revoked: 18,
            sessions: 19,
            memory_sessions: 20,
            memory_bytes: 21,
            memory_budget_bytes: 22,
            disk_sessions: 23,
            file_bytes: 24,
            journal_bytes: 25,
            quarantined: 26,
            torn_writes: 27,
            replayed: 28,
            degraded: true,
            shape_changed: 29,
            device_registrations: 30,
            device_refreshes: 31,
            device_refusals: 32,
        }
    }

    #[test]
    fn every_metric_has_the_number_of_its_own_field() {
        let kept = Kept::default();
        metrics::with_local_recorder(&kept, || publish(&stats(), "main"));
        let table = |expected: &[(&str, u64)]| -> BTreeMap<String, u64> {
            expected.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
        };
        let [counters, gauges] = kept.values();
        assert_eq!(
            counters,
            table(&[
                ("sessile.requests store=main outcome=hit tier=memory", 1),
                ("sessile.requests store=main outcome=hit tier=disk", 2),
                ("sessile.requests store=main outcome=miss", 3),
                ("sessile.requests store=main outcome=forged", 4),
                ("sessile.requests store=main outcome=ambiguous", 5),
                ("sessile.requests store=main outcome=expired", 10),
                ("sessile.commits store=main outcome=stored", 6),
                ("sessile.commits store=main outcome=dropped", 7),
                ("sessile.commits store=main outcome=refused", 15),
                ("sessile.syncs store=main", 8),
                ("sessile.evictions store=main", 9),
                ("sessile.limited store=main", 16),
                ("sessile.swept store=main", 11),
                ("sessile.corrupt_records store=main", 13),
                ("sessile.unreadable_values store=main", 14),
                ("sessile.changed_shapes store=main", 29),
                ("sessile.device.proofs store=main outcome=registered", 30),
                ("sessile.device.proofs store=main outcome=refreshed", 31),
                ("sessile.device.proofs store=main outcome=refused", 32),
                ("sessile.quarantined_records store=main", 26),
                ("sessile.torn_writes store=main", 27),
            ])
        );
        let expected = [
            ("sessile.sessions store=main tier=all", 19),
            ("sessile.sessions store=main tier=memory", 20),
            ("sessile.sessions store=main tier=disk", 23),
            ("sessile.memory.usage store=main", 21),
            ("sessile.memory.limit store=main", 22),
            ("sessile.file.size store=main", 24),
            ("sessile.journal.size store=main", 25),
            ("sessile.degraded store=main", 1),
        ];
        assert_eq!(gauges, table(&expected));
        // Each is described, in the unit of its number, and no other metric is.
        let names = counters.keys().chain(gauges.keys()).map(|name| name.split(' ').next().unwrap_or_default());
        let in_bytes = ["sessile.memory.usage", "sessile.memory.limit", "sessile.file.size", "sessile.journal.size"];
        let unit = |name: &str| if in_bytes.contains(&name) { Unit::Bytes } else { Unit::Count };
        let units: BTreeMap<_, _> = names.map(|name| (name.to_owned(), Some(unit(name)))).collect();
        assert_eq!(*kept.described.lock(), units);
    }

    #[test]
    fn what_is_published_again_is_the_newest_of_a_gauge_and_the_total_of_a_counter() {
        let kept = Kept::default();
        let later = Stats { memory_hits: 100, sessions: 0, degraded: false, ..stats() };
        metrics::with_local_recorder(&kept, || [stats(), later].iter().for_each(|stats| publish(stats, "main")));
        let [counters, gauges] = kept.values();
        assert_eq!(counters["sessile.requests store=main outcome=hit tier=memory"], 100);
        let now = |name: &str| gauges[&format!("{name} store=main")];
        assert_eq!((gauges["sessile.sessions store=main tier=all"], now("sessile.degraded")), (0, 0));
    }
}
