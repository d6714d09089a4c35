//! What a store counts, as metrics of the crate `metrics`: for Prometheus, OpenTelemetry, or whatever recorder the program has.
//!
//! Names follow OpenTelemetry's rules: a namespace of our own, dots between words, units apart from the name, what varies as an attribute.
//! Invariant: no attribute names a session, an owner or a token, so their number is bounded.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use crate::{Stats, Store};

impl Store {
    /// Hands [`stats`](Self::stats) to the program's recorder of metrics, as totals and as what is there now.
    ///
    /// Call it before each export, or every few seconds: requests do nothing for metrics, so this costs them nothing. Each metric has
    /// the attribute `store` with this `name`, to tell several stores apart.
    ///
    /// | metric | unit | attributes |
    /// |---|---|---|
    /// | `sessile.requests` | | `outcome`: hit, miss, forged, ambiguous, expired; with hit also `tier`: memory, disk |
    /// | `sessile.commits` | | `outcome`: stored, dropped, refused |
    /// | `sessile.syncs`, `sessile.evictions`, `sessile.limited`, `sessile.swept` | | |
    /// | `sessile.corrupt_records`, `sessile.unreadable_values`, `sessile.quarantined_records`, `sessile.torn_writes` | | |
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
    describe_counter!("sessile.quarantined_records", Unit::Count, "Damaged records that were put aside");
    describe_counter!("sessile.torn_writes", Unit::Count, "Writes that a crash had cut short");
    describe_gauge!("sessile.sessions", Unit::Count, "Sessions, expired ones that were not swept yet among them");
    describe_gauge!("sessile.memory.usage", Unit::Bytes, "Bytes that sessions take in memory");
    describe_gauge!("sessile.memory.limit", Unit::Bytes, "Bytes that sessions may take in memory");
    describe_gauge!("sessile.file.size", Unit::Bytes, "Size of the store's file");
    describe_gauge!("sessile.journal.size", Unit::Bytes, "Size of the journal's files");
    describe_gauge!("sessile.degraded", Unit::Count, "1 while the disk refuses to work");
}
