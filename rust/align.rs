//! Words, tokens and marked stretches of a text, brought together through its characters.
//!
//! Tokenizers say where their tokens lie, in characters, and say it loosely: a leading space may be inside, a piece may
//! be empty, the bytes of one character share its place, and a normaliser may change the order. Places are tidied
//! before anything is joined: white space at both ends is taken off, and what is then empty belongs nowhere.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::pool;
use crate::ragged::{Ragged, blocks, split_planes};

/// Tokens a thread should have to itself: below it a hand-over costs more than it saves.
const TOKENS_A_TASK: i64 = 1 << 14;

/// Stretches of the texts of many rows, from a first character to one past the last.
#[derive(Debug, Clone, Copy)]
pub struct Spans<'a> {
    name: &'static str,
    starts: Ragged<'a, i64>,
    ends: Ragged<'a, i64>,
}

impl<'a> Spans<'a> {
    /// Spans from their starts, their ends and the offsets of the rows. `name` is what errors call them.
    pub fn new(name: &'static str, [starts, ends, offsets]: [&'a [i64]; 3]) -> Result<Self> {
        if starts.len() != ends.len() {
            let (found, expected) = (ends.len(), starts.len());
            return Err(Error::LengthMismatch { name, found, other: "their starts", expected });
        }
        Ok(Self { name, starts: Ragged::new(name, starts, offsets)?, ends: Ragged::new(name, ends, offsets)? })
    }

    /// Starts and ends of a row, after checking that no span starts below 0 or ends before it starts.
    fn row(&self, row: usize) -> Result<(&'a [i64], &'a [i64])> {
        let (starts, ends) = self.unchecked(row);
        let bad = |(&start, &end): (&i64, &i64)| start < 0 || end < start;
        match starts.iter().zip(ends).position(bad) {
            Some(index) => Err(self.fault(row, index)),
            None => Ok((starts, ends)),
        }
    }

    /// Starts and ends of a row of words: between 0 and `length`, in order, not empty and apart.
    fn words(&self, row: usize, length: i64) -> Result<(&'a [i64], &'a [i64])> {
        let (starts, ends) = self.unchecked(row);
        let mut reach = 0;
        for (index, (&start, &end)) in starts.iter().zip(ends).enumerate() {
            if start < reach || end <= start || end > length {
                return Err(match (start, end) {
                    _ if start >= 0 && start < reach => {
                        self.refuse(row, index, start, "a start no lower than the end of the one before")
                    }
                    _ if end == start => self.refuse(row, index, end, "an end above the start"),
                    _ => self.fault(row, index),
                });
            }
            reach = end;
        }
        Ok((starts, ends))
    }

    /// Starts and ends of a row.
    fn unchecked(&self, row: usize) -> (&'a [i64], &'a [i64]) {
        (self.starts.row(row), self.ends.row(row))
    }

    /// What is wrong with a span that does not lie in its text.
    fn fault(&self, row: usize, index: usize) -> Error {
        let (starts, ends) = self.unchecked(row);
        match (starts[index], ends[index]) {
            (start, _) if start < 0 => self.refuse(row, index, start, "a start of 0 or more"),
            (start, end) if end < start => self.refuse(row, index, end, "an end no lower than the start"),
            (_, end) => self.refuse(row, index, end, "an end inside the text"),
        }
    }

    fn as_many_rows(&self, expected: usize, other: &'static str) -> Result<()> {
        self.starts.as_many_rows(self.name, expected, other)
    }

    fn len(&self) -> usize {
        self.starts.len()
    }

    fn refuse(&self, row: usize, index: usize, found: i64, expected: &'static str) -> Error {
        Error::BadValue { row, name: self.name, index, found: found as f64, expected }
    }
}

/// Three arrays as long as the tokens, one after another: the word of each token, counted in its row (-1 = none); where
/// the token starts and where it ends, white space taken off (equal if nothing is left).
///
/// A token belongs to the word that it shares most characters with, the earlier of equals; to none if it shares none.
/// `text` holds the characters of each row as code points. Words are in order, not empty and apart; tokens may overlap
/// and come in any order.
pub fn align(
    tokens: &Spans<'_>,
    text: &Ragged<'_, u32>,
    words: &Spans<'_>,
    threads: Option<usize>,
) -> Result<Vec<i32>> {
    tokens.as_many_rows(text.len(), "text")?;
    words.as_many_rows(text.len(), "text")?;
    let (n, offsets) = (tokens.starts.values().len(), tokens.starts.offsets());
    let mut out = vec![0; 3 * n];
    let blocks = blocks(offsets, TOKENS_A_TASK);
    let pieces = split_planes(&mut out, 3, offsets, &blocks);
    let tasks = blocks.into_iter().zip(pieces).collect();
    pool::each(threads, tasks, |(rows, mut planes): (Range<usize>, Vec<_>)| {
        let first = offsets[rows.start] as usize;
        for row in rows {
            let at = offsets[row] as usize - first..offsets[row + 1] as usize - first;
            let text = text.row(row);
            let length = i32::try_from(text.len()).map_err(|_| too_long(row, text.len()))?;
            let words = words.words(row, length.into())?;
            if let [word_of, starts, ends] = &mut planes[..] {
                let (word_of, starts, ends) = (&mut word_of[at.clone()], &mut starts[at.clone()], &mut ends[at]);
                let found = Places { word_of, starts, ends }.fill(tokens.unchecked(row), text, words);
                found.map_err(|index| tokens.fault(row, index))?;
            }
        }
        Ok(())
    })?;
    Ok(out)
}

fn too_long(row: usize, length: usize) -> Error {
    let expected = "fewer than 2147483648 characters";
    Error::BadValue { row, name: "text length", index: 0, found: length as f64, expected }
}

/// The output of one row.
struct Places<'a> {
    word_of: &'a mut [i32],
    starts: &'a mut [i32],
    ends: &'a mut [i32],
}

impl Places<'_> {
    /// Aligns one row; an error is the first token that does not lie in the text.
    fn fill(
        &mut self,
        (from, to): (&[i64], &[i64]),
        text: &[u32],
        words: (&[i64], &[i64]),
    ) -> std::result::Result<(), usize> {
        let mut word = 0;
        let mut last = 0;
        let spans = from.iter().zip(to);
        let out = self.word_of.iter_mut().zip(&mut *self.starts).zip(&mut *self.ends);
        for (index, ((&start, &end), ((word_of, start_out), end_out))) in spans.zip(out).enumerate() {
            if start < 0 || end < start || end > text.len() as i64 {
                return Err(index);
            }
            let (start, end) = trim(text, start as usize, end as usize);
            (*start_out, *end_out) = (start as i32, end as i32);
            if start == end {
                *word_of = -1;
                continue;
            }
            if start < last {
                word = words.1.partition_point(|&word_end| word_end <= start as i64);
            }
            while word < words.1.len() && words.1[word] <= start as i64 {
                word += 1;
            }
            *word_of = most_shared(words, word, start as i64, end as i64);
            last = start;
        }
        Ok(())
    }
}

/// The word that shares most with `start..end`, looking from `word` on; -1 if none shares anything.
#[inline]
fn most_shared((starts, ends): (&[i64], &[i64]), word: usize, start: i64, end: i64) -> i32 {
    if starts.get(word).is_none_or(|&word_start| word_start >= end) {
        return -1;
    }
    if ends[word] >= end {
        return word as i32;
    }
    let (mut best, mut most) = (-1, 0);
    for (i, (&word_start, &word_end)) in starts.iter().zip(ends).enumerate().skip(word) {
        if word_start >= end {
            break;
        }
        let shared = word_end.min(end) - word_start.max(start);
        if shared > most {
            (best, most) = (i as i32, shared);
        }
    }
    best
}

/// A span without the white space at its ends.
#[inline]
fn trim(text: &[u32], mut start: usize, mut end: usize) -> (usize, usize) {
    while start < end && is_space(text[start]) {
        start += 1;
    }
    while start < end && is_space(text[end - 1]) {
        end -= 1;
    }
    (start, end)
}

/// White space as Python's `str.split` sees it: Unicode's, and the four separators of ASCII.
#[inline]
pub(crate) fn is_space(c: u32) -> bool {
    match c {
        0x21..0x7f => false,
        0x1c..=0x20 | 0x09..=0x0d => true,
        _ => char::from_u32(c).is_some_and(char::is_whitespace),
    }
}

/// For each token of one tokenizer the tokens of another that share characters with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Links {
    /// One more than there are target tokens: whose links lie where.
    pub offsets: Vec<i64>,
    /// Source tokens, counted in their row, ascending for each target token.
    pub sources: Vec<i32>,
    /// The share of each: the characters in common, divided by the sum over the links of the target token.
    pub weights: Vec<f32>,
}

impl Links {
    /// Adds the links of one target token.
    fn push(&mut self, links: &[(i32, i64)]) {
        let total: i64 = links.iter().map(|&(_, shared)| shared).sum();
        self.sources.extend(links.iter().map(|&(source, _)| source));
        self.weights.extend(links.iter().map(|&(_, shared)| (shared as f64 / total as f64) as f32));
        self.offsets.push(self.sources.len() as i64);
    }
}

/// Links the tokens of two tokenizers of the same texts, by the characters they share.
///
/// Spans as [`align`] leaves them. A target token that shares nothing has no links; the weights of any other sum to 1.
pub fn link(targets: &Spans<'_>, sources: &Spans<'_>, threads: Option<usize>) -> Result<Links> {
    sources.as_many_rows(targets.len(), "the target tokens")?;
    let offsets = targets.starts.offsets();
    let parts = pool::map(threads, blocks(offsets, TOKENS_A_TASK), |rows| {
        let mut part = Links { offsets: Vec::new(), sources: Vec::new(), weights: Vec::new() };
        let mut buffer = Vec::new();
        for row in rows {
            let sources = Ordered::new(sources.row(row)?);
            let (starts, ends) = targets.row(row)?;
            let mut first = 0;
            for (&start, &end) in starts.iter().zip(ends) {
                first = sources.first_beyond(start, first);
                sources.link(first, start, end, &mut buffer);
                part.push(&buffer);
            }
        }
        Ok(part)
    })?;
    let mut out = Links { offsets: vec![0], sources: Vec::new(), weights: Vec::new() };
    for part in parts {
        let base = out.sources.len() as i64;
        out.offsets.extend(part.offsets.iter().map(|&offset| base + offset));
        out.sources.extend(part.sources);
        out.weights.extend(part.weights);
    }
    Ok(out)
}

/// The source tokens of a row by where they start.
struct Ordered {
    /// Start, end and number of each token.
    tokens: Vec<(i64, i64, i32)>,
    /// The furthest end of a token and those before it: what lies before a place can be left out.
    reach: Vec<i64>,
}

impl Ordered {
    fn new((starts, ends): (&[i64], &[i64])) -> Self {
        let mut tokens: Vec<_> = starts.iter().zip(ends).zip(0..).map(|((&start, &end), i)| (start, end, i)).collect();
        tokens.retain(|&(start, end, _)| start < end);
        tokens.sort_unstable();
        let reach = tokens
            .iter()
            .scan(0, |reach, &(_, end, _)| {
                *reach = end.max(*reach);
                Some(*reach)
            })
            .collect();
        Self { tokens, reach }
    }

    /// The first token from which on something ends behind `start`, as for the target before it or further on.
    fn first_beyond(&self, start: i64, mut first: usize) -> usize {
        if first > 0 && self.reach[first - 1] > start {
            return self.reach.partition_point(|&reach| reach <= start);
        }
        while self.reach.get(first).is_some_and(|&reach| reach <= start) {
            first += 1;
        }
        first
    }

    /// Collects the source tokens from `first` on that share characters with a target token, and how many.
    fn link(&self, first: usize, start: i64, end: i64, out: &mut Vec<(i32, i64)>) {
        let near = self.tokens[first..].iter().take_while(|&&(from, _, _)| from < end);
        out.clear();
        out.extend(near.map(|&(from, to, i)| (i, to.min(end) - from.max(start))).filter(|&(_, shared)| shared > 0));
        out.sort_unstable();
    }
}

#[cfg(test)]
mod tests;
