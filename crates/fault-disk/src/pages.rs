//! A file's bytes in pages, so that copying a file is cheap and a hole takes nothing.

use std::{iter, sync::Arc};

/// Bytes of a page, the unit of space.
pub(super) const PAGE: usize = 4096;

type Page = [u8; PAGE];

/// The content of a file.
///
/// Invariant: the bytes beyond `len` in the last page are zero, so that a file that shrinks and grows again has zeros there.
#[derive(Clone, Default)]
pub(super) struct Pages {
    /// `None`: a hole, which reads as zeros and takes no space.
    pages: Vec<Option<Arc<Page>>>,
    len: usize,
}

/// Returns the pieces of `offset..offset + len`, none of which crosses a page: the page, the offset in it, and the length.
fn pieces(offset: usize, len: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let (mut at, end) = (offset, offset + len);
    iter::from_fn(move || {
        let (page, start) = (at / PAGE, at % PAGE);
        let len = (PAGE - start).min(end.checked_sub(at).filter(|left| *left > 0)?);
        at += len;
        Some((page, start, len))
    })
}

impl Pages {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the bytes of space that it takes.
    pub(super) fn allocated(&self) -> usize {
        self.pages.iter().flatten().count() * PAGE
    }

    /// Returns how many of `len` bytes at `offset` can be written before `room` more bytes of space are used up.
    pub(super) fn fitting(&self, offset: usize, len: usize, mut room: usize) -> usize {
        let mut fitting = 0;
        for (page, _, piece) in pieces(offset, len) {
            if self.pages.get(page).is_none_or(Option::is_none) {
                let Some(left) = room.checked_sub(PAGE) else { break };
                room = left;
            }
            fitting += piece;
        }
        fitting
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.pages.resize(len.div_ceil(PAGE), None);
        if len < self.len
            && !len.is_multiple_of(PAGE)
            && let Some(last) = self.pages.last_mut().and_then(Option::as_mut)
        {
            Arc::make_mut(last)[len % PAGE..].fill(0);
        }
        self.len = len;
    }

    pub(super) fn write(&mut self, offset: usize, mut bytes: &[u8]) {
        if !bytes.is_empty() && offset + bytes.len() > self.len {
            self.set_len(offset + bytes.len());
        }
        for (page, start, len) in pieces(offset, bytes.len()) {
            let (piece, rest) = bytes.split_at(len);
            let page = self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(page)[start..start + len].copy_from_slice(piece);
            bytes = rest;
        }
    }

    /// Returns `false` if the file ends earlier.
    pub(super) fn read(&self, offset: usize, mut into: &mut [u8]) -> bool {
        if offset.checked_add(into.len()).is_none_or(|end| end > self.len) {
            return false;
        }
        for (page, start, len) in pieces(offset, into.len()) {
            let (piece, rest) = into.split_at_mut(len);
            match &self.pages[page] {
                Some(page) => piece.copy_from_slice(&page[start..start + len]),
                None => piece.fill(0),
            }
            into = rest;
        }
        true
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read(0, &mut bytes);
        bytes
    }
}

impl From<&[u8]> for Pages {
    fn from(bytes: &[u8]) -> Self {
        let mut pages = Self::default();
        pages.write(0, bytes);
        pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_behave_as_a_vec_of_bytes() {
        let mut rng = crate::state::Rng::new(7);
        let (mut pages, mut plain) = (Pages::default(), Vec::new());
        for step in 0..2000_u32 {
            let offset = rng.below(4 * PAGE);
            if rng.one_in(4) {
                pages.set_len(offset);
                plain.resize(offset, 0);
            } else {
                let bytes = vec![step.to_le_bytes()[0]; rng.below(2 * PAGE)];
                pages.write(offset, &bytes);
                if !bytes.is_empty() {
                    plain.resize(plain.len().max(offset + bytes.len()), 0);
                    plain[offset..offset + bytes.len()].copy_from_slice(&bytes);
                }
            }
            assert_eq!(pages.to_vec(), plain);
            assert!(pages.allocated() <= plain.len().next_multiple_of(PAGE));
        }
    }

    #[test]
    fn holes_take_no_space_and_writes_into_them_do() {
        let mut pages = Pages::default();
        pages.set_len(10 * PAGE);
        assert_eq!(pages.allocated(), 0);
        pages.write(PAGE - 1, &[1, 2]);
        assert_eq!(pages.allocated(), 2 * PAGE);
        assert_eq!(pages.fitting(0, 3 * PAGE, 0), 2 * PAGE);
        assert_eq!(pages.fitting(0, 3 * PAGE, PAGE), 3 * PAGE);
        assert_eq!(pages.fitting(3 * PAGE, 10, PAGE - 1), 0);
    }
}
