//! A session's change on its way to the disk, and which changes make others void.
//!
//! Invariant: what is left of a batch has the same effect as all of it in order.

use std::collections::{HashMap, HashSet};

use sessile_codec::Record;

use crate::{
    memory::Seq,
    token::{Key, KeyState},
};

/// The owner of records of ended sessions that are not in the store. No hash of an owner's id is this.
pub(crate) const ENDED: [u8; 16] = *b"sessile revoked\0";

/// The record key of the epoch in which sessions are sealed now. No hash of a token is this.
pub(crate) const SEALED_EPOCH: Key = [0xff; 16];

/// The owner of the store's own notes. No hash of an owner's id is this.
pub(crate) const NOTES: [u8; 16] = *b"sessile notes\0\0\0";

/// Returns the key of a note: `subject` is what the note is about, `what` its kind.
pub(crate) fn note_key(subject: [u8; 8], what: u8) -> Key {
    let mut key = [what; 16];
    key[..8].copy_from_slice(&subject);
    key[8..15].copy_from_slice(b"sessile");
    key
}

/// Whether `key` is a note's.
pub(crate) fn is_note(key: &Key) -> bool {
    key[8..15] == *b"sessile"
}

/// Returns the key of the note that the session under `key` was imported.
pub(crate) fn import_note(key: &Key) -> Key {
    note_key(*key.first_chunk().expect("a key has 16 bytes"), IMPORT)
}

/// Whether `key` is that of a note that a session was imported.
#[cfg(feature = "foreign")]
pub(crate) fn is_import_note(key: &Key) -> bool {
    is_note(key) && key[15] == IMPORT
}

/// The kind of such a note.
const IMPORT: u8 = 1;

/// One change to write to the file.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// `record` is under `key` now.
    Put { key: Key, record: Record },
    /// Nothing is under `key` any more.
    Delete { key: Key },
    /// Both in one: nothing is under `key`, and `record` is under `new_key`.
    Rekey { key: Key, new_key: Key, record: Record },
}

impl Op {
    /// Returns the new state of each key that the operation changes.
    pub(super) fn changes(&self) -> impl Iterator<Item = (&Key, Option<&Record>)> {
        let (first, second) = match self {
            Self::Put { key, record } => ((key, Some(record)), None),
            Self::Delete { key } => ((key, None), None),
            Self::Rekey { key, new_key, record } => ((key, None), Some((new_key, Some(record)))),
        };
        std::iter::once(first).chain(second)
    }

    /// Whether it is the first write of a note, or of the end of a sealed session, by its revision.
    pub(super) fn is_first_note(&self) -> bool {
        let Self::Put { record, .. } = self else { return false };
        let meta = record.meta();
        meta.revision == 1 && (meta.owner == NOTES || meta.owner == ENDED)
    }

    /// Whether it ends a session.
    pub(super) fn is_end(&self) -> bool {
        match self {
            Self::Put { record, .. } => record.meta().owner == ENDED,
            Self::Delete { .. } => true,
            Self::Rekey { .. } => false,
        }
    }

    pub(super) fn cost_bytes(&self) -> usize {
        let record_bytes = self.changes().filter_map(|(_, record)| record).map(|record| record.bytes().len()).sum::<usize>();
        size_of::<Self>() + record_bytes
    }
}

/// An operation in the queue.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) seq: Seq,
    pub(super) op: Op,
    /// Whether the disk never got a record of the session.
    pub(super) fresh: bool,
}

/// Removes each write that a later operation on the same key makes void.
pub(super) fn coalesce(ops: Vec<Queued>) -> Vec<Queued> {
    if ops.len() < 2 {
        return ops;
    }
    let mut last: HashMap<Key, Seq, KeyState> = HashMap::with_capacity_and_hasher(ops.len(), KeyState::default());
    for queued in &ops {
        for (key, _) in queued.op.changes() {
            last.insert(*key, queued.seq);
        }
    }
    let mut fresh: HashSet<Key, KeyState> = HashSet::default();
    let mut kept = ops;
    kept.retain_mut(|queued| {
        let (Op::Put { key, .. } | Op::Delete { key } | Op::Rekey { key, .. }) = &queued.op;
        // Ends keep their order: a later deletion may delete what an end stands for.
        let is_void = matches!(queued.op, Op::Put { .. }) && !queued.op.is_end() && last.get(key) != Some(&queued.seq);
        if is_void && queued.fresh {
            fresh.insert(*key);
        }
        queued.fresh |= fresh.contains(key);
        !is_void
    });
    kept
}

/// Separates the ends of sessions from the other operations. A write that an end makes void is dropped ([`coalesce`]), and a
/// rotation whose new key ends becomes the end of its old one, so the ends may overtake all others. The note that an ended
/// session was imported moves with its end; otherwise the next import would not know of the end.
pub(super) fn extract_ends(ops: Vec<Queued>) -> (Vec<Queued>, Vec<Queued>) {
    // The index in `ends` of each key's end.
    let mut ended: HashMap<Key, usize, KeyState> = HashMap::default();
    let mut notes: HashSet<Key, KeyState> = HashSet::default();
    let (mut ends, mut rest): (Vec<Queued>, Vec<Queued>) = (Vec::new(), Vec::new());
    for queued in coalesce(ops).into_iter().rev() {
        match queued.op {
            Op::Delete { key } => {
                ended.insert(key, ends.len());
                notes.insert(import_note(&key));
                ends.push(queued);
            }
            Op::Put { key, .. } if queued.op.is_end() || notes.contains(&key) => ends.push(queued),
            Op::Rekey { key, new_key, .. } if ended.contains_key(&new_key) => {
                // The disk never gets the new key.
                ends[ended[&new_key]].fresh = true;
                ended.insert(key, ends.len());
                ends.push(Queued { op: Op::Delete { key }, ..queued });
            }
            _ => rest.push(queued),
        }
    }
    ends.reverse();
    rest.reverse();
    (ends, rest)
}

#[cfg(test)]
mod tests {
    use sessile_codec::{Limits, Meta, Patch};

    use super::*;

    fn put(key: u8, meta: &Meta) -> Op {
        let key = [key; 16];
        Op::Put { key, record: Patch::new().apply(None, &key, meta, &Limits::default()).unwrap() }
    }

    #[test]
    fn notes_and_their_first_writes_are_told_from_everything_else() {
        let subject = *b"subject ";
        let (note, import) = (note_key(subject, 7), import_note(&[7; 16]));
        assert_eq!([is_note(&note), is_note(&import), is_note(&[7; 16])], [true, true, false]);
        #[cfg(feature = "foreign")]
        {
            let mut no_note = import;
            no_note[8] = 0;
            assert_eq!([note, import, no_note].map(|key| is_import_note(&key)), [false, true, false]);
        }
        for (owner, is_note) in [(NOTES, true), (ENDED, true), ([0; 16], false), ([7; 16], false)] {
            for revision in [1, 2] {
                let op = put(1, &Meta { owner, revision, ..Meta::default() });
                assert_eq!(op.is_first_note(), is_note && revision == 1, "{owner:?} {revision}");
            }
        }
        assert!(!Op::Delete { key: note }.is_first_note());
    }

    #[test]
    fn what_an_operation_takes_is_itself_and_its_record() {
        let put = put(1, &Meta::default());
        let record = put.changes().find_map(|(_, record)| record).unwrap();
        assert_eq!(Op::Delete { key: [1; 16] }.cost_bytes(), size_of::<Op>());
        assert_eq!(put.cost_bytes(), size_of::<Op>() + record.bytes().len());
    }

    #[test]
    fn ends_overtake_what_is_no_end_and_never_each_other() {
        let delete = |key| Op::Delete { key: [key; 16] };
        let (put, end) = (|key| put(key, &Meta::default()), |key| put(key, &Meta { owner: ENDED, ..Meta::default() }));
        // 4 deletes the record that 2 is the end of, and 5 repeats 2.
        let ops = [put(1), end(2), put(3), delete(4), end(2), delete(1)];
        let ops: Vec<_> = (1..).zip(ops).map(|(seq, op)| Queued { seq, op, fresh: false }).collect();
        let seqs = |ops: &[Queued]| ops.iter().map(|queued| queued.seq).collect::<Vec<_>>();
        assert_eq!(seqs(&coalesce(ops.clone())), [2, 3, 4, 5, 6]);
        let (ends, rest) = extract_ends(ops);
        assert_eq!((seqs(&ends), seqs(&rest)), (vec![2, 4, 5, 6], vec![3]));
    }

    #[test]
    fn of_two_writes_of_a_session_one_is_left() {
        let ops = (1..=2).map(|seq| Queued { seq, op: put(1, &Meta::default()), fresh: false }).collect();
        assert_eq!(coalesce(ops).iter().map(|queued| queued.seq).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_session_that_the_disk_never_got_stays_new_to_it_whatever_is_left_out() {
        let (put, delete) = (|key| put(key, &Meta::default()), |key| Op::Delete { key: [key; 16] });
        let rekey = |from: u8, to: u8| {
            let Op::Put { record, .. } = put(to) else { unreachable!("it is a put") };
            Op::Rekey { key: [from; 16], new_key: [to; 16], record }
        };
        // 1 and 2 are new and written again, 2 ends; 3 is new and moves to 4; 5 and 6 are known, and 6 ends.
        let ops = [
            (put(1), true),
            (put(2), true),
            (put(3), true),
            (put(5), false),
            (put(1), false),
            (delete(2), false),
            (rekey(3, 4), false),
            (put(6), false),
            (put(5), false),
            (put(1), false),
            (delete(6), false),
        ];
        let ops: Vec<_> = (1..).zip(ops).map(|(seq, (op, fresh))| Queued { seq, op, fresh }).collect();
        let left: Vec<_> = coalesce(ops).into_iter().map(|queued| (queued.seq, queued.fresh)).collect();
        assert_eq!(left, [(6, true), (7, true), (9, false), (10, true), (11, false)]);
    }

    #[test]
    fn a_session_that_ends_under_a_new_key_that_the_disk_never_got_is_deleted_under_its_old_one() {
        let (old, new) = ([1; 16], [2; 16]);
        let record = Patch::new().apply(None, &new, &Meta::default(), &Limits::default()).unwrap();
        let ops = [Op::Rekey { key: old, new_key: new, record }, Op::Delete { key: new }];
        let ops: Vec<_> = (1..).zip(ops).map(|(seq, op)| Queued { seq, op, fresh: false }).collect();
        let (ends, rest) = extract_ends(ops);
        let deleted: Vec<_> = ends.iter().map(|end| (*end.op.changes().next().unwrap().0, end.fresh)).collect();
        assert_eq!((deleted, rest.len()), (vec![(old, false), (new, true)], 0));
    }

    #[test]
    fn the_note_of_an_import_goes_with_the_end_of_its_session() {
        let note = |n: u8| {
            let key = import_note(&[n; 16]);
            assert!(is_note(&key) && !is_note(&[n; 16]));
            Op::Put { key, record: Patch::new().apply(None, &key, &Meta::default(), &Limits::default()).unwrap() }
        };
        let ops = [put(1, &Meta::default()), note(1), put(2, &Meta::default()), note(2), Op::Delete { key: [1; 16] }];
        let ops: Vec<_> = (1..).zip(ops).map(|(seq, op)| Queued { seq, op, fresh: false }).collect();
        let seqs = |ops: &[Queued]| ops.iter().map(|queued| queued.seq).collect::<Vec<_>>();
        let (ends, rest) = extract_ends(ops);
        assert_eq!((seqs(&ends), seqs(&rest)), (vec![2, 5], vec![3, 4]));
    }
}
