//! T10 and T11: what a session in memory takes beyond its bytes, and how often the memory tier has what is asked for.

mod overhead {
    use allocation_counter::measure;
    use sessile::{Store, Token};
    use sessile_benches::{Target, USER_ID, median, report, row, sized, write_typical};

    /// Fills memory from disk and counts what stays allocated, again and again while the tables grow.
    pub(crate) fn bench() {
        let sessions = sized(64_000, 4_000);
        let dir = tempfile::tempdir().expect("there is room for a store");
        let path = dir.path().join("sessions.redb");
        let tokens = filled(&Store::open(&path).expect("the directory is new"), sessions);

        let store = Store::builder().memory_budget(usize::MAX).disk_cache(0).open(&path).expect("it was closed");
        let record_bytes = store.session(Some(&tokens[0])).expect("the disk works").record_bytes() as f64;
        let (mut bytes, mut allocations, mut cached, mut overheads) = (0, 0, 1, Vec::new());
        for some in tokens[1..].chunks(sessions / 32) {
            let info = measure(|| {
                for token in some {
                    assert!(store.entry(token, USER_ID).expect("the disk works").is_some());
                }
            });
            (bytes, allocations, cached) = (bytes + info.bytes_current, allocations + info.count_current, cached + some.len());
            // In the first half of the growth the tables' smallest sizes show.
            if cached > sessions / 2 {
                overheads.push(bytes as f64 / cached as f64 - record_bytes);
            }
        }
        let stats = store.stats();
        assert_eq!(stats.memory_sessions, cached as u64);
        let accounted = stats.memory_bytes as f64 / cached as f64 - record_bytes;

        let (least, most) = overheads.iter().fold((f64::MAX, 0.0), |(least, most), o| (o.min(least), o.max(most)));
        let what = format!("memory of a cached session of {record_bytes} bytes, beyond them");
        report("T10", &what, median(overheads), "bytes", Target::AtMost(160.0));
        row("while the number of sessions doubles", &[(least, "least"), (most, "most")]);
        row("what the budget counts", &[(accounted, "bytes")]);
        row("allocations that stay", &[(allocations as f64 / cached as f64, "for each session")]);
    }

    fn filled(store: &Store, sessions: usize) -> Vec<Token> {
        let mut last = None;
        let tokens = (0..sessions as u64).map(|user_id| {
            let session = store.session(None).expect("a new session needs no I/O");
            write_typical(&session, user_id);
            last = Some(session.save());
            session.token().expect("it was saved")
        });
        let tokens = tokens.collect();
        last.expect("there are sessions").wait().expect("the disk works");
        store.close().expect("the disk works");
        tokens
    }
}

mod hit_ratio {
    use std::{num::NonZeroUsize, time::Duration};

    use sessile::{Durability, Store, Tier, Token};
    use sessile_benches::{Random, Target, Zipf, is_quick, report, row, sized};

    /// Sessions that come back, and how many of them memory has room for.
    fn sizes() -> (usize, usize) {
        sized((1_000_000, 10_000), (50_000, 500))
    }

    pub(crate) fn bench() {
        let (sessions, room) = sizes();
        let requests = sized(1_000_000, 50_000);
        let store = RealStore::new(sessions + requests * 3 / 10, room);
        for (skew, one_shot, scans) in
            [(1.0, 0.3, false), (1.0, 0.0, false), (1.0, 0.0, true), (0.8, 0.0, false), (0.8, 0.3, false), (0.8, 0.0, true)]
        {
            let trace = trace(requests, skew, one_shot, scans);
            let ideal = ratio(&trace, |id| id < room);
            let ours = ratio(&trace, |id| store.ask(id));
            let mut lru = lru::LruCache::new(NonZeroUsize::new(room).expect("there is room"));
            let plain = ratio(&trace, |id| lru.get(&id).is_some() || lru.put(id, ()).is_some());
            let quick = quick_cache::sync::Cache::new(room);
            let quick = ratio(&trace, |id| quick.get(&id).is_some() || (quick.insert(id, ()), false).1);
            let moka = moka::sync::Cache::new(room as u64);
            let moka = ratio(&trace, |id| moka.get(&id).is_some() || (moka.insert(id, ()), false).1);

            let shape = format!(
                "zipf {skew:.1}, {} k of {} k, {:.0} % one-shot ids{}",
                room as f64 / 1e3,
                sessions / 1000,
                one_shot * 100.0,
                if scans { ", scans" } else { "" }
            );
            if (skew, one_shot) == (1.0, 0.3) {
                report("T11", &format!("hit ratio, {shape}"), ours / ideal, "x the ideal static cache", Target::AtLeast(0.95));
            } else {
                println!("    {shape}");
            }
            for (name, hits) in
                [("ideal static cache", ideal), ("sessile", ours), ("quick_cache", quick), ("moka", moka), ("plain LRU", plain)]
            {
                row(name, &[(hits * 100.0, "%"), (hits / ideal, "x ideal")]);
            }
        }
        if is_quick() {
            println!("    (a quick run: too few requests for a ratio that means something)");
        }
    }

    /// Which sessions are asked for. Ids from the number of sessions on come only once.
    fn trace(requests: usize, skew: f64, one_shot: f64, scans: bool) -> Vec<usize> {
        let (sessions, room) = sizes();
        let (zipf, mut random) = (Zipf::new(sessions, skew), Random(7));
        let (mut next_one_shot, mut next_scanned) = (sessions, 0);
        let mut trace = Vec::with_capacity(requests);
        while trace.len() < requests {
            if scans && trace.len() % (20 * room) == 10 * room {
                // Somebody walks through twice as many sessions as memory holds.
                for _ in 0..2 * room {
                    next_scanned = (next_scanned + 1) % sessions;
                    trace.push(next_scanned);
                }
            } else if random.unit() < one_shot && next_one_shot < sessions + requests * 3 / 10 {
                trace.push(next_one_shot);
                next_one_shot += 1;
            } else {
                trace.push(zipf.next(&mut random));
            }
        }
        trace
    }

    /// The share of hits in the second half of the trace; the first half warms up.
    fn ratio(trace: &[usize], mut ask: impl FnMut(usize) -> bool) -> f64 {
        let (warm_up, counted) = trace.split_at(trace.len() / 2);
        for id in warm_up {
            ask(*id);
        }
        counted.iter().filter(|id| ask(**id)).count() as f64 / counted.len() as f64
    }

    /// The library itself: a store with all the sessions on disk, and room in memory for few.
    struct RealStore {
        store: Store,
        tokens: Vec<Token>,
    }

    impl RealStore {
        fn new(sessions: usize, room: usize) -> Self {
            // Nobody signs in here, and a first read is not to write that the visitor came back.
            let builder = Store::builder().durability(Durability::Relaxed).unconfirmed_timeout(Duration::MAX);
            let scratch = builder.clone().open_in_memory().expect("a store without a file needs no disk");
            add(&scratch, 1000);
            let cost_bytes = scratch.stats().memory_bytes / scratch.stats().memory_sessions;
            let budget_bytes = usize::try_from(cost_bytes).expect("a session is small") * room;
            let store = builder.memory_budget(budget_bytes).open_in_memory().expect("a store without a file needs no disk");
            let tokens = add(&store, sessions);
            let stats = store.stats();
            assert!(stats.memory_bytes <= stats.memory_budget_bytes);
            Self { store, tokens }
        }

        /// Whether memory has the session. If not, it has now.
        fn ask(&self, id: usize) -> bool {
            let session = self.store.session(Some(&self.tokens[id])).expect("memory does not fail");
            session.tier().expect("all sessions are there") == Tier::Memory
        }
    }

    fn add(store: &Store, sessions: usize) -> Vec<Token> {
        let tokens = (0..sessions).map(|n| {
            let session = store.session(None).expect("a new session needs no I/O");
            session.insert("n", n).expect("it is small");
            session.save().wait().expect("memory does not fail");
            session.token().expect("it was saved")
        });
        let tokens = tokens.collect();
        store.flush().wait().expect("memory does not fail");
        tokens
    }
}

fn main() {
    overhead::bench();
    hit_ratio::bench();
}
