//! The output of a walk: untouched ranges of the input and rewritten pieces from a scratch buffer, in order.

use crate::read::write_varint;
use std::io::IoSlice;
use std::ops::Range;

/// Runs of the input up to this length are copied. A record batch is longer: its header alone takes 61 bytes.
const SHORT: usize = 48;

/// One piece of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Input(Range<usize>),
    Scratch(Range<usize>),
}

/// A rewritten message as pieces; reused from frame to frame so that a walk allocates nothing.
#[derive(Debug, Default)]
pub struct Segments {
    scratch: Vec<u8>,
    list: Vec<Segment>,
    /// The total length of `list`.
    len: usize,
    /// The input up to here is in `list` or was replaced.
    copied: usize,
    /// Bytes that were written to the scratch buffer, those that were moved in it too.
    written: usize,
}

/// A place in the output to which it can be taken back.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    list: usize,
    last: Option<Segment>,
    scratch: usize,
    len: usize,
    copied: usize,
}

/// A place in the output that is filled when its content is known. It lies inside a run of the scratch buffer: a hole of its
/// own per array would cost many times the byte that an empty array takes in a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hole {
    segment: usize,
    at: usize,
    width: usize,
    len_after: usize,
}

impl Segments {
    /// Forgets the last message; keeps the buffers unless they grew beyond `keep` bytes.
    pub fn clear(&mut self, keep: usize) {
        self.scratch.clear();
        self.scratch.shrink_to(keep);
        self.list.clear();
        self.list.shrink_to(keep / size_of::<Segment>());
        (self.len, self.copied, self.written) = (0, 0, 0);
    }

    /// The length of the output in bytes.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the output is empty.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many pieces there are.
    pub const fn count(&self) -> usize {
        self.list.len()
    }

    /// How many bytes were written to make the output, each as often as it was moved: what a walk cost beyond reading.
    pub const fn written(&self) -> usize {
        self.written
    }

    /// The pieces from the one at `first` on, over the input that was walked.
    pub fn slices<'a>(&'a self, input: &'a [u8], first: usize) -> impl Iterator<Item = IoSlice<'a>> {
        self.list[first.min(self.list.len())..].iter().map(|segment| match segment {
            Segment::Input(range) => IoSlice::new(&input[range.clone()]),
            Segment::Scratch(range) => IoSlice::new(&self.scratch[range.clone()]),
        })
    }

    /// The output in one piece, for what is not on the hot path.
    pub fn to_vec(&self, input: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len);
        self.slices(input, 0).for_each(|slice| out.extend_from_slice(&slice));
        out
    }

    /// The first bytes of the output, up to `most`, in one piece.
    pub fn front(&self, input: &[u8], most: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for slice in self.slices(input, 0) {
            if out.len() == most {
                break;
            }
            out.extend_from_slice(&slice[..slice.len().min(most - out.len())]);
        }
        out
    }

    /// Leaves the first `n` bytes of the output out.
    pub fn cut(&mut self, n: usize) {
        let mut left = n.min(self.len);
        self.len -= left;
        let mut whole = 0;
        for Segment::Input(range) | Segment::Scratch(range) in &mut self.list {
            if range.len() > left {
                range.start += left;
                break;
            }
            left -= range.len();
            whole += 1;
        }
        drop(self.list.drain(..whole));
    }

    /// How long the output would be if the input up to `at` were taken over.
    pub(crate) const fn len_at(&self, at: usize) -> usize {
        self.len + at - self.copied
    }

    /// Takes the input over, up to `at`. `input` is what was walked; short runs of it go to the scratch buffer, so that a
    /// message of many small fields is not as many pieces.
    pub(crate) fn flush(&mut self, input: &[u8], at: usize) {
        if at <= self.copied {
            return;
        }
        let run = self.copied..at;
        self.copied = at;
        if run.len() <= SHORT && !matches!(self.list.last(), Some(Segment::Input(range)) if range.end == run.start) {
            self.put(&input[run]);
            return;
        }
        self.len += run.len();
        match self.list.last_mut() {
            Some(Segment::Input(range)) if range.end == run.start => range.end = at,
            _ => self.list.push(Segment::Input(run)),
        }
    }

    /// Leaves the input out, up to `at`.
    pub(crate) const fn omit(&mut self, at: usize) {
        self.copied = at;
    }

    /// Appends bytes that are not in the input.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let start = self.scratch.len();
        self.scratch.extend_from_slice(bytes);
        self.len += bytes.len();
        self.written += bytes.len();
        let end = self.scratch.len();
        match self.list.last_mut() {
            Some(Segment::Scratch(range)) if range.end == start => range.end = end,
            _ => self.list.push(Segment::Scratch(start..end)),
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            list: self.list.len(),
            last: self.list.last().cloned(),
            scratch: self.scratch.len(),
            len: self.len,
            copied: self.copied,
        }
    }

    /// Takes the output back to `mark`.
    pub(crate) fn rewind(&mut self, mark: Mark) {
        self.list.truncate(mark.list);
        if let (Some(last), Some(now)) = (mark.last, self.list.last_mut()) {
            *now = last;
        }
        self.scratch.truncate(mark.scratch);
        self.len = mark.len;
        self.copied = mark.copied;
    }

    /// Opens a hole in place of what follows in the input, which took `width` bytes there: at most five.
    pub(crate) fn hole(&mut self, width: usize) -> Hole {
        self.put(&[0; 5][..width]);
        Hole { segment: self.list.len() - 1, at: self.scratch.len() - width, width, len_after: self.len }
    }

    /// How long the output is after the hole, if the input up to `at` were taken over.
    pub(crate) const fn len_after(&self, hole: Hole, at: usize) -> usize {
        self.len_at(at) - hole.len_after
    }

    /// Fills a hole with a varint.
    pub(crate) fn fill_varint(&mut self, hole: Hole, value: u32) {
        let mut bytes = [0; 5];
        let n = write_varint(&mut bytes, value);
        self.fill(hole, &bytes[..n]);
    }

    /// Fills a hole. Where the bytes are more or fewer than it was opened for, what was written behind it moves: holes are
    /// filled innermost first, so that every byte moves at most once per array around it.
    pub(crate) fn fill(&mut self, hole: Hole, bytes: &[u8]) {
        let (from, to) = (hole.at + hole.width, hole.at + bytes.len());
        if from != to {
            let end = self.scratch.len();
            if to > from {
                self.scratch.resize(end + to - from, 0);
            }
            self.scratch.copy_within(from..end, to);
            self.scratch.truncate(end + to - from);
            self.written += end - from;
            for (n, segment) in self.list.iter_mut().enumerate().skip(hole.segment) {
                if let Segment::Scratch(range) = segment {
                    if n > hole.segment {
                        range.start = range.start + to - from;
                    }
                    range.end = range.end + to - from;
                }
            }
            self.len = self.len + to - from;
        }
        self.scratch[hole.at..to].copy_from_slice(bytes);
    }
}
