//! Checks the settings of a store.
//!
//! Invariant: a setting that would end every session, fail every commit or keep a processor busy is refused before a file is
//! touched.

use std::time::Duration;

use super::Builder;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Returns the name, the value and the valid range of the first setting without a sensible meaning.
pub(super) fn problem(builder: &Builder) -> Option<String> {
    let settings = &builder.settings;
    let (timeouts, limits) = (&settings.timeouts, &settings.limits);
    let per_owner = settings.owner_limit.map_or(1, |(limit, _)| limit);
    [
        too_short("idle_timeout", timeouts.idle, MILLISECOND),
        too_short("absolute_timeout", timeouts.absolute, MILLISECOND),
        too_short("unconfirmed_timeout", timeouts.unconfirmed, MILLISECOND),
        too_short("commit_timeout", builder.commit_timeout, MILLISECOND),
        too_short("sweep_interval", builder.sweep_interval, SECOND),
        outside("sessions_per_owner", per_owner as u64, 1, u64::MAX),
        outside("max_sessions", settings.max_sessions.unwrap_or(1), 1, u64::MAX),
        outside("max_disk_bytes", settings.max_disk_bytes.unwrap_or(u64::MAX), 1 << 20, u64::MAX),
        outside("journal_bytes", builder.journal_bytes, 192 << 10, 8 << 30),
        outside("record_limit", limits.record_bytes as u64, 256, 1 << 30),
        outside("keys_limit", limits.keys as u64, 1, u64::MAX),
        outside("key_limit", limits.key_bytes as u64, 16, 1 << 20),
    ]
    .into_iter()
    .flatten()
    .next()
}

fn too_short(name: &str, found: Duration, least: Duration) -> Option<String> {
    (found < least).then(|| format!("the setting `{name}` is {found:?}; set at least {least:?}, or `Duration::MAX` for no end"))
}

fn outside(name: &str, found: u64, least: u64, most: u64) -> Option<String> {
    if (least..=most).contains(&found) {
        return None;
    }
    let range = if most == u64::MAX { format!("at least {least}") } else { format!("{least} to {most}") };
    Some(format!("the setting `{name}` is {found}; set {range}"))
}
