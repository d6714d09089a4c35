//! Tests of the queue: when it returns writes, how long callers wait, and which write replaces another.

use std::task::{Context, Poll, Waker};

use sessile_codec::{Limits, Meta, Patch};

use super::*;

const UNBORN: Before = Before { seq: None, is_unborn: true };

fn after(seq: Seq) -> Before {
    Before { seq: Some(seq), is_unborn: false }
}

fn queue() -> Queue {
    Queue::new(Process::this().unwrap(), Duration::from_hours(1), Duration::from_hours(1))
}

fn put(key: u8, revision: u64) -> Op {
    let (key, meta) = ([key; 16], Meta { revision, ..Meta::default() });
    Op::Put { key, record: Patch::new().apply(None, &key, &meta, &Limits::default()).unwrap() }
}

/// Returns the next batch: the number and revision of each write.
fn taken(queue: &Queue) -> Vec<(Seq, Option<u64>)> {
    queue.wake(&mut queue.state.lock());
    let batch = queue.take(None);
    let revision = |op: &Op| op.changes().find_map(|(_, record)| Some(record?.meta().revision));
    batch.ops.iter().map(|queued| (queued.seq, revision(&queued.op))).collect()
}

#[test]
fn what_nobody_waits_for_takes_the_place_of_the_write_before_it() {
    let queue = queue();
    let (one, _) = queue.push(put(1, 1), Urgency::Soon, UNBORN);
    let (two, _) = queue.push(put(2, 1), Urgency::Soon, UNBORN);
    let bytes = queue.queued_bytes.load(Ordering::Relaxed);
    for revision in 2..100 {
        assert_eq!(queue.push(put(1, revision), Urgency::Soon, after(one)).0, one);
    }
    assert_eq!(queue.queued_bytes.load(Ordering::Relaxed), bytes);
    let state = queue.state.lock();
    assert_eq!(state.queued.iter().map(|queued| queued.fresh).collect::<Vec<_>>(), [true, true], "redb knows of neither");
    drop(state);
    assert_eq!(taken(&queue), [(one, Some(99)), (two, Some(1))]);
    // It is being written, so the next one is another write.
    let (three, _) = queue.push(put(1, 100), Urgency::Soon, after(one));
    assert!(three > two);
    assert_eq!(taken(&queue), [(three, Some(100))]);
}

#[test]
fn what_somebody_waits_for_comes_after_all_that_was_before_it() {
    let queue = queue();
    let (one, _) = queue.push(put(1, 1), Urgency::Soon, UNBORN);
    let (two, _) = queue.push(Op::Delete { key: [2; 16] }, Urgency::Soon, UNBORN);
    let (three, _) = queue.push(put(1, 2), Urgency::Now, after(one));
    assert_eq!(taken(&queue), [(two, None), (three, Some(2))]);
}

#[test]
fn a_write_takes_no_place_but_that_of_its_own_key() {
    let queue = queue();
    let (one, _) = queue.push(put(1, 1), Urgency::Soon, UNBORN);
    let (two, _) = queue.push(Op::Delete { key: [1; 16] }, Urgency::Soon, UNBORN);
    let (three, _) = queue.push(put(1, 7), Urgency::Soon, after(two));
    let (four, _) = queue.push(put(2, 8), Urgency::Soon, after(one));
    let (five, _) = queue.push(put(2, 9), Urgency::Soon, after(1000));
    assert_eq!((three, four, five), (3, 4, 5));
    assert_eq!(taken(&queue), [(two, None), (three, Some(7)), (five, Some(9))]);
    // Numbers that are given back have gaps.
    let (six, _) = queue.push(put(3, 1), Urgency::Soon, UNBORN);
    let gap = |seq, op| Queued { seq, op, fresh: false };
    queue.give_back(&[gap(two, Op::Delete { key: [1; 16] }), gap(five, put(2, 9))], Duration::ZERO);
    for (key, seq) in [(3, six), (2, five)] {
        let (later, _) = queue.push(put(key, 10), Urgency::Soon, after(seq));
        assert!(later == seq || later > six, "{seq} {later}");
    }
    let (seqs, revisions): (Vec<_>, Vec<_>) = taken(&queue).into_iter().unzip();
    assert!(seqs.is_sorted());
    assert_eq!(revisions, [None, Some(10), Some(10)]);
}
const HOUR: Duration = Duration::from_hours(1);
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns the ticket's current result.
fn answer(ticket: &Ticket) -> Option<Result<(), Error>> {
    match ticket.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

/// Returns callers that have waited since `since`.
fn waiting(since: Instant) -> Waiters {
    Waiters { since: Some(since), ..Waiters::default() }
}

#[test]
fn a_queue_that_is_full_to_the_byte_has_no_room_and_one_at_the_mark_lets_nobody_wait() {
    let queue = queue();
    queue.queued_bytes.store(FULL_BYTES - 1, Ordering::Relaxed);
    assert!(queue.has_room());
    queue.queued_bytes.store(FULL_BYTES, Ordering::Relaxed);
    assert!(!queue.has_room());
    for (more, waits) in [(0, false), (1, true)] {
        queue.queued_bytes.store(HIGH_WATER_BYTES - put(1, 1).cost_bytes() + more, Ordering::Relaxed);
        let (_, ticket) = queue.push(put(1, 1), Urgency::Soon, UNBORN);
        assert_eq!(answer(&ticket).is_none(), waits, "{more}");
    }
}

#[test]
fn what_may_wait_is_due_after_the_interval_and_what_may_not_at_once() {
    let (queue, began) = (queue(), Instant::now());
    let due = || queue.state.lock().due;
    queue.push(put(1, 1), Urgency::Soon, UNBORN);
    let first = due().expect("it is due once");
    assert!(first >= began + HOUR);
    queue.push(put(2, 1), Urgency::Soon, UNBORN);
    assert_eq!(due(), Some(first), "what comes behind it goes along");
    queue.push(put(3, 1), Urgency::Now, UNBORN);
    assert!(due().is_some_and(|due| due <= Instant::now()));
}

#[test]
fn nothing_is_taken_before_it_is_due() {
    let queue = queue();
    let (one, _) = queue.push(put(1, 1), Urgency::Soon, UNBORN);
    let is_empty = |batch: &Batch| batch.ops.is_empty();
    assert!(is_empty(&queue.take(Some(Instant::now()))), "only the moment until which it waits has come");
    queue.wake(&mut queue.state.lock());
    let batch = queue.take(None);
    assert_eq!(batch.ops.iter().map(|queued| queued.seq).collect::<Vec<_>>(), [one]);
    queue.give_back(&batch.ops, HOUR);
    assert!(is_empty(&queue.take(Some(Instant::now()))), "the disk rests");
    assert_eq!(taken(&queue), [(one, Some(1))]);
}

#[test]
fn what_the_journal_has_answered_for_is_not_pending() {
    let queue = queue();
    let pending = || {
        let mut revisions = Vec::new();
        queue.pending(|_, record| revisions.push(record.meta().revision));
        revisions
    };
    queue.push(put(1, 1), Urgency::Now, UNBORN);
    taken(&queue);
    queue.push(put(2, 2), Urgency::Now, UNBORN);
    assert_eq!(pending(), [1, 2]);
    queue.written();
    assert_eq!(pending(), [2]);
    assert!(queue.state.lock().in_flight.is_none());
}

#[test]
fn ends_are_taken_at_once_and_waited_for_no_longer_than_asked() {
    let queue = queue();
    queue.push(put(1, 1), Urgency::Now, UNBORN);
    let until = Instant::now() + Duration::from_millis(20);
    assert!(queue.take_ends(until).ops.is_empty() && Instant::now() >= until, "one could have come");
    let (end, _) = queue.push(Op::Delete { key: [2; 16] }, Urgency::Now, UNBORN);
    let began = Instant::now();
    let batch = queue.take_ends(began + PATIENCE);
    assert_eq!(batch.ops.iter().map(|queued| queued.seq).collect::<Vec<_>>(), [end]);
    queue.close();
    let batch = queue.take_ends(began + PATIENCE);
    assert_eq!((batch.ops.len(), batch.closing), (1, true), "nothing is taken after that");
    assert!(began.elapsed() < PATIENCE);
}

#[test]
fn nobody_is_told_that_it_took_too_long_before_it_did() {
    let (queue, began) = (queue(), Instant::now());
    let mut state = queue.state.lock();
    let (in_flight, later) = (waiting(began), waiting(began + Duration::from_millis(1)));
    let tickets = [&in_flight, &later].map(|waiters| Ticket::waiting(&waiters.all, &queue.process));
    (state.in_flight, state.waiters) = (Some(in_flight), later);
    let mut told = |after| {
        queue.time_out(&mut state, began + after);
        tickets.each_ref().map(|ticket| answer(ticket).map(|answer| matches!(answer, Err(Error::TimedOut { .. }))))
    };
    for (after, expected) in [(3_599_999, [None, None]), (3_600_000, [Some(true), None]), (3_600_001, [Some(true); 2])] {
        assert_eq!(told(Duration::from_millis(after)), expected, "after {after} ms");
    }
}

#[test]
fn the_watchdog_of_a_quiet_queue_sleeps_until_somebody_waits() {
    let patience = Duration::from_millis(1);
    let queue = Queue::new(Process::this().unwrap(), HOUR, patience);
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| queue.watch());
        while !queue.state.lock().watchdog_parked && began.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        let is_parked = queue.state.lock().watchdog_parked;
        // This is never written.
        let (_, ticket) = queue.push(put(1, 1), Urgency::Now, UNBORN);
        let mut told = None;
        while told.is_none() && began.elapsed() < PATIENCE {
            told = answer(&ticket);
            std::thread::yield_now();
        }
        // Whatever happened, or `scope` would wait for the thread forever.
        queue.finish();
        assert!(is_parked, "it looks up for nothing");
        assert!(matches!(told, Some(Err(Error::TimedOut { after })) if after == patience), "{told:?}");
    });
}
