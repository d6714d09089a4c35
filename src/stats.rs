//! A store's counters and sizes.

/// What a [`Store`](crate::Store) has done since it was opened, and what it contains now.
///
/// The numbers are read one after another while the store works, so they need not match exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Sessions found in memory.
    pub memory_hits: u64,
    /// Sessions read from disk.
    pub disk_hits: u64,
    /// Tokens that led to no session.
    pub misses: u64,
    /// Tokens that this store never issued, refused without I/O.
    pub forged: u64,
    /// Requests with two different tokens of this store, which get no session.
    pub ambiguous: u64,
    /// Sessions created, changed, touched on disk or rotated.
    pub commits: u64,
    /// Commits that came after their session had ended.
    pub dropped_commits: u64,
    /// Synced writes to the journal, each shared by the commits that came during the one before.
    pub syncs: u64,
    /// Records that left memory to make room. They are on disk.
    pub evictions: u64,
    /// Times a session was looked up after its deadline.
    pub expired: u64,
    /// Expired sessions deleted from the file.
    pub swept: u64,
    /// Times the clock was set back by more than a second, or was more than ten minutes ahead of the time that passed. See
    /// [`Builder::clock`](crate::Builder::clock).
    pub clock_jumps: u64,
    /// Times a record on disk could not be read.
    pub corrupt: u64,
    /// Times a stored value could not be read as the requested model, and counted as absent.
    pub unreadable: u64,
    /// Times a stored model had other fields than its version has in this build, because they were changed without a new version.
    /// The call returned an error.
    pub shape_changed: u64,
    /// Times a browser bound a session to its device: see `SessionLayer::device_bound`.
    pub device_registrations: u64,
    /// Times a browser proved that it has the key of its session's device.
    pub device_refreshes: u64,
    /// Proofs and registrations of devices that were refused.
    pub device_refusals: u64,
    /// New sessions refused because the store was full.
    pub refused: u64,
    /// Sessions ended because their owner, or the store, had as many as allowed.
    pub limited: u64,
    /// Times a session was sealed into a cookie.
    pub sealed: u64,
    /// Ended sealed sessions, and owners whose sealed sessions were ended, remembered for as long as the cookies could be
    /// valid.
    pub revoked: u64,
    /// Sessions on disk or only in memory, including expired ones that are not swept yet.
    pub sessions: u64,
    /// Sessions in memory.
    pub memory_sessions: u64,
    /// Bytes they take, overhead included.
    pub memory_bytes: u64,
    /// Bytes they may take, except those not on disk yet.
    pub memory_budget_bytes: u64,
    /// Sessions on disk, including expired ones that are not swept yet.
    pub disk_sessions: u64,
    /// Size of the store's file. Its free space is reused.
    pub file_bytes: u64,
    /// Size of the journal's files, which a clean close removes.
    pub journal_bytes: u64,
    /// Damaged records that were put aside in the file. Their sessions are absent.
    pub quarantined: u64,
    /// Writes that a crash had cut short, found when the store was opened. None was acknowledged as durable.
    pub torn_writes: u64,
    /// Changes in the journal when the store was opened, because the process before did not close it cleanly.
    pub replayed: u64,
    /// Whether the last write failed. The store retries by itself.
    pub degraded: bool,
}

/// Where a session was loaded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tier {
    /// It was in memory.
    Memory,
    /// It was read from the file, and is in memory now.
    Disk,
    /// It came sealed in the client's cookie: see `SessionLayer::sealed_cookies`.
    Cookie,
}
