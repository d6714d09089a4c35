//! The checkpointer's side of the journal.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use parking_lot::MutexGuard;

use super::{Active, ClosedSegment, Job, Journal, Spare, State, degraded};
use crate::{
    Error,
    disk::{
        meta::JournalMark,
        op::Queued,
        own,
        segment::{Label, Segment},
        ticket::Group,
    },
    token::Key,
};

/// Keys per lookup in redb, while a wanted segment waits: some 10 ms if nothing of the file is in memory.
const RECOUNTED: usize = 100;

impl Journal {
    /// Waits for work: until `sweep_at` at most, and after a failure until `retry_at` at least.
    pub(in crate::disk) fn job(&self, sweep_at: Instant, retry_at: Option<Instant>, has_failed: impl Fn() -> bool) -> Job {
        let mut state = self.state.lock();
        loop {
            let now = Instant::now();
            if retry_at.is_none_or(|at| at <= now) || state.closing {
                if has_failed() {
                    return Job::Reopen;
                }
                if let Some(job) = self.pick(&mut state, now >= sweep_at) {
                    return job;
                }
                if retry_at.is_some() {
                    return Job::Probe;
                }
                self.changed.wait_until(&mut state, sweep_at);
            } else {
                self.changed.wait_until(&mut state, retry_at.unwrap_or(now));
            }
        }
    }

    fn pick(&self, state: &mut MutexGuard<'_, State>, sweep: bool) -> Option<Job> {
        if state.wanted.is_some() && state.ready.is_none() && !state.closing && !state.is_crowded(self) {
            return Some(Job::Prepare);
        }
        if let Some(due) = state.due(self) {
            return Some(Job::Checkpoint(due.label));
        }
        if !state.unsure.is_empty() && !state.closing {
            return Some(Job::Recount(state.unsure.iter().take(RECOUNTED).copied().collect()));
        }
        if !state.quarantine.is_empty() && !state.closing {
            return Some(Job::Quarantine(std::mem::take(&mut state.quarantine)));
        }
        if !state.sweeps.is_empty() || (sweep && !state.closing) {
            return Some(Job::Sweep(std::mem::take(&mut state.sweeps)));
        }
        state.closing.then_some(Job::Close)
    }

    /// Returns those of `keys` that redb has not been asked for yet.
    pub(in crate::disk) fn unsure(&self, keys: &[Key]) -> Vec<Key> {
        let state = self.state.lock();
        if state.unsure.is_empty() {
            Vec::new()
        } else {
            keys.iter().filter(|key| state.unsure.contains(*key)).copied().collect()
        }
    }

    /// Called after redb was asked for `keys`.
    pub(in crate::disk) fn is_sure(&self, keys: &[Key]) {
        let mut state = self.state.lock();
        for key in keys {
            state.unsure.remove(key);
        }
    }

    /// Prepares a segment if one is wanted, from the spare file if there is one.
    pub(in crate::disk) fn prepare(&self) -> Result<(), Error> {
        let _making = self.making.lock();
        let (len_bytes, spare) = {
            let mut state = self.state.lock();
            let least_bytes = state.wanted.take().unwrap_or(0);
            (state.planned_bytes.max(least_bytes), state.spare.take())
        };
        let made = match spare {
            Some(spare) => self.reuse(spare, len_bytes),
            None => self.make(len_bytes),
        };
        let mut state = self.state.lock();
        match made {
            Ok(ready) => {
                state.ready = Some(ready);
                self.changed.notify_all();
                Ok(())
            }
            Err(error) => {
                state.wanted = Some(len_bytes);
                Err(error)
            }
        }
    }

    /// Makes a segment from a used file. The caller holds `making`.
    fn reuse(&self, spare: Spare, len_bytes: u64) -> Result<Active, Error> {
        let (number, len_bytes) = (spare.number, len_bytes.max(spare.len_bytes));
        let before = self.state.lock().newest;
        let made = Label::new(self.store_id, before, len_bytes)
            .and_then(|label| Segment::prepare(spare.file, label).map_err(degraded));
        if made.is_err() {
            self.give_up(number, spare.len_bytes);
        }
        let segment = made?;
        let mut state = self.state.lock();
        state.newest = segment.label().as_generation();
        state.file_bytes += len_bytes - spare.len_bytes;
        Ok(Active { number, segment, since: self.timeline.uptime() })
    }

    /// Removes a file whose frames redb has.
    fn give_up(&self, number: u32, len_bytes: u64) {
        // A file that cannot be removed is found empty at the next open: its generation is below the mark.
        let _ = own::remove(&*self.volume, &self.file_name(number), &self.store_id);
        let mut state = self.state.lock();
        state.file_bytes -= len_bytes;
        state.numbers.remove(&number);
    }

    /// Calls `write` to store the mark of a checkpointed generation in the database, with the generation's last records.
    pub(in crate::disk) fn pass(
        &self,
        label: &Label,
        write: impl FnOnce(JournalMark) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut mark = self.mark.lock();
        // Without a later segment, the journal is not in use: after a crash there would be nothing to find.
        let state = self.state.lock();
        let in_use = state.newest.number > label.generation;
        let newest = if state.turned_to > label.generation { state.turned_to } else { 0 };
        drop(state);
        let passed = JournalMark { generation: label.generation, salt: label.salt, in_use, newest };
        write(passed)?;
        *mark = passed;
        Ok(())
    }

    /// Calls `write` to store what was left, and that no journal is in use. Does nothing if the mark says so already and
    /// nothing was left.
    pub(in crate::disk) fn end(&self, write: impl FnOnce(JournalMark, &[Queued]) -> Result<(), Error>) -> Result<(), Error> {
        let (mut mark, left) = (self.mark.lock(), self.left.lock());
        if mark.in_use || !left.is_empty() {
            let ended = JournalMark { in_use: false, newest: 0, ..*mark };
            write(ended, &left)?;
            *mark = ended;
        }
        Ok(())
    }

    /// Called when the database has all of the oldest closed segment, and its mark says so.
    pub(in crate::disk) fn checkpointed(&self) {
        let _making = self.making.lock();
        let mut state = self.state.lock();
        let Some(ClosedSegment { number, label, file }) = state.closed.pop_front() else { return };
        let len_bytes = label.len_bytes;
        match file {
            Some(file) if len_bytes <= self.max_bytes && state.spare.is_none() && !state.closing => {
                state.spare = Some(Spare { number, len_bytes, file });
            }
            _ => {
                drop(state);
                self.give_up(number, len_bytes);
            }
        }
        self.changed.notify_all();
    }

    /// Whether a checkpoint that has done `done` of `total` records has to wait for the active segment to fill up.
    pub(in crate::disk) fn is_ahead(&self, done: usize, total: usize) -> bool {
        let state = self.state.lock();
        let is_late = state.ready.is_none() || state.is_crowded(self) || state.closed.len() > self.kept + 1;
        let hurry = is_late || state.closing || !state.sweeps.is_empty();
        !hurry && (done as u64) * 1000 > self.filled.load(Ordering::Relaxed) * total as u64
    }

    /// Whether a segment is to be moved into redb now.
    pub(in crate::disk) fn has_due(&self) -> bool {
        self.state.lock().due(self).is_some()
    }

    /// Whether the store is being closed.
    pub(in crate::disk) fn is_closing(&self) -> bool {
        self.state.lock().closing
    }

    pub(in crate::disk) fn set_trouble(&self, trouble: Option<Error>) {
        self.state.lock().trouble = trouble;
        self.changed.notify_all();
    }

    /// Takes the groups that wait for a sweep that will not happen.
    pub(in crate::disk) fn take_sweeps(&self) -> Vec<Arc<Group>> {
        std::mem::take(&mut self.state.lock().sweeps)
    }

    /// Called when the last checkpoint is done, or has failed.
    pub(in crate::disk) fn ended(&self, result: Result<(), Error>) {
        self.last_checkpoint.resolve(result);
    }

    /// Removes the rest of the journal after the last checkpoint. The database's mark already says that none is in use.
    pub(in crate::disk) fn remove_all(&self) -> Result<(), Error> {
        let mut state = self.state.lock();
        (state.ready, state.spare) = (None, None);
        let numbers = std::mem::take(&mut state.numbers);
        state.file_bytes = 0;
        drop(state);
        if numbers.is_empty() {
            return Ok(());
        }
        for number in numbers {
            match own::remove(&*self.volume, &self.file_name(number), &self.store_id) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(degraded(error)),
                _ => {}
            }
        }
        self.volume.sync().map_err(degraded)
    }
}
