//! Hard rationales from scores: the top share of each row, for several shares from one pass.
//!
//! Scores are compared as integers that sort like the floats. The scores of a row lie in buckets between its lowest and
//! its highest. A share takes whole buckets and the first few of one more, by score and then by position: only that one
//! is looked into (`buckets.rs`).

use std::ops::Range;

use crate::buckets::{Buckets, Cut};
use crate::error::{Error, Result};
use crate::lanes::Units;
use crate::pool;
use crate::ragged::{Ragged, blocks, split_planes};
use crate::short_rows::{SHORT, Short};
use crate::word_scores::{Pooled, Pooling};

pub use crate::short_rows::count;

/// Scores a thread should have to itself: below it a hand-over costs more than it saves.
const SCORES_A_TASK: i64 = 1 << 15;

/// Rationales: for every fraction one mark a score (1 = taken, 0 = not), `[fraction, position]`, all written to `out`.
///
/// `selectable` (0 = no) is as long as the values of `scores`; none = every score. A NaN that cannot be selected is
/// ignored. Positions are those of the values; what lies in no row is not marked.
pub fn rationales(
    scores: &Ragged<'_, f32>,
    selectable: Option<&[u8]>,
    fractions: &[f64],
    threads: Option<usize>,
    out: &mut [u8],
) -> Result<()> {
    if let Some(selectable) = selectable {
        same_length("selectable", selectable.len(), scores)?;
    }
    by_row(scores, fractions, threads, out, |row, at, work, out| {
        let marks = selectable.map(|marks| &marks[at.clone()]);
        if out.mark_short(work.units, scores.row(row), marks, at.start) {
            return Ok(());
        }
        if work.row.fill(scores.row(row), marks) {
            return Err(not_a_number(row, first_nan(scores.row(row), marks)));
        }
        if work.cut(out.fractions) {
            for (&(plane, _), &cut) in out.fractions.iter().zip(&work.cuts) {
                work.row.mark(cut, out.row(plane, &at));
            }
        } else {
            out.clear(&at);
        }
        Ok(())
    })
}

/// Rationales whose units are words: all tokens of a word are marked or none. `out` as in [`rationales`].
///
/// `words` has the shape of `scores` and names the word of each token; a negative id = no word. In a row ids never go
/// down, and tokens of one id are one word, wherever they stand. The score of a word is pooled in `f64` and rounded
/// to `f32`, which is how word scores are stored.
pub fn word_rationales<W: Copy + Into<i64> + Send + Sync>(
    scores: &Ragged<'_, f32>,
    words: &[W],
    how: Pooling,
    fractions: &[f64],
    threads: Option<usize>,
    out: &mut [u8],
) -> Result<()> {
    same_length("words", words.len(), scores)?;
    by_row(scores, fractions, threads, out, |row, at, work, out| {
        work.pool(row, scores.row(row), &words[at.clone()], how)?;
        work.row.fill(&work.scores, None);
        work.chosen.resize(work.scores.len(), 0);
        if work.cut(out.fractions) {
            for (&(plane, _), &cut) in out.fractions.iter().zip(&work.cuts) {
                work.row.mark(cut, &mut work.chosen);
                for (out, &word) in out.row(plane, &at).iter_mut().zip(&work.word_of) {
                    *out = work.chosen.get(word).copied().unwrap_or(0);
                }
            }
        } else {
            out.clear(&at);
        }
        Ok(())
    })
}

fn first_nan(scores: &[f32], marks: Option<&[u8]>) -> usize {
    let bad = |&i: &usize| scores[i].is_nan() && marks.is_none_or(|marks| marks[i] != 0);
    (0..scores.len()).find(bad).unwrap_or(0)
}

/// Buffers that a thread uses again for every row.
struct Work {
    units: Units,
    row: Buckets,
    cuts: Vec<Cut>,
    /// Where units are words: their scores, the unit of each token (`usize::MAX` = none), and whether it is chosen.
    scores: Vec<f32>,
    word_of: Vec<usize>,
    chosen: Vec<u8>,
}

impl Work {
    fn new() -> Self {
        let (cuts, scores, word_of, chosen) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let units = Units::best();
        Self { units, row: Buckets::new(units), cuts, scores, word_of, chosen }
    }

    /// Finds where each fraction ends. False if there is nothing to select.
    fn cut(&mut self, fractions: &[(usize, f64)]) -> bool {
        let n = self.row.n();
        if n > 0 {
            self.row.cut(fractions.iter().map(|&(_, fraction)| count(n, fraction)), &mut self.cuts);
        }
        n > 0
    }

    /// Fills `scores` with those of the words of a row, and `word_of`.
    fn pool<W: Copy + Into<i64>>(&mut self, row: usize, scores: &[f32], words: &[W], how: Pooling) -> Result<()> {
        self.scores.clear();
        self.word_of.clear();
        // The word in the making: its id, its first token, its score so far.
        let mut open: Option<(i64, usize, Pooled)> = None;
        for (i, (&score, &word)) in scores.iter().zip(words).enumerate() {
            let word: i64 = word.into();
            if word < 0 {
                self.word_of.push(usize::MAX);
                continue;
            }
            if score.is_nan() {
                return Err(not_a_number(row, i));
            }
            match &mut open {
                Some((id, _, pooled)) if *id == word => pooled.add(score.into(), how),
                Some((id, _, _)) if word < *id => {
                    let expected = "an id no lower than that of the word before";
                    return Err(Error::BadValue { row, name: "words", index: i, found: word as f64, expected });
                }
                _ => {
                    self.close(row, open, how)?;
                    open = Some((word, i, Pooled::new(score.into())));
                }
            }
            self.word_of.push(self.scores.len());
        }
        self.close(row, open, how)
    }

    fn close(&mut self, row: usize, open: Option<(i64, usize, Pooled)>, how: Pooling) -> Result<()> {
        if let Some((_, first_token, pooled)) = open {
            let score = pooled.score(how) as f32;
            if score.is_nan() {
                return Err(not_a_number(row, first_token));
            }
            self.scores.push(score);
        }
        Ok(())
    }
}

/// The part of the output that one task writes: the same rows of every fraction.
struct Out<'a> {
    planes: Vec<&'a mut [u8]>,
    /// Position among the values that the planes start with.
    start: usize,
    /// The fractions and their planes, largest first.
    fractions: &'a [(usize, f64)],
}

impl Out<'_> {
    fn row(&mut self, plane: usize, at: &Range<usize>) -> &mut [u8] {
        &mut self.planes[plane][at.start - self.start..at.end - self.start]
    }

    /// Marks a row of few scores. False if that takes more than counting; what is written then must be written again.
    fn mark_short(&mut self, units: Units, scores: &[f32], selectable: Option<&[u8]>, at: usize) -> bool {
        let start = at - self.start;
        scores.len() <= SHORT
            && units.run(Short { scores, selectable, fractions: self.fractions, planes: &mut self.planes, start })
    }

    /// Marks nothing in a row.
    fn clear(&mut self, at: &Range<usize>) {
        for plane in 0..self.planes.len() {
            self.row(plane, at).fill(0);
        }
    }
}

/// Calls `op` for every row, with the row's place among the values, buffers, and the output.
fn by_row(
    rows: &Ragged<'_, f32>,
    fractions: &[f64],
    threads: Option<usize>,
    out: &mut [u8],
    op: impl Fn(usize, Range<usize>, &mut Work, &mut Out<'_>) -> Result<()> + Sync + Send,
) -> Result<()> {
    check_fractions(fractions)?;
    let mut largest_first: Vec<(usize, f64)> = fractions.iter().copied().enumerate().collect();
    largest_first.sort_by(|a, b| b.1.total_cmp(&a.1));
    let expected = fractions.len().saturating_mul(rows.values().len());
    if out.len() != expected {
        let other = "fractions times scores";
        return Err(Error::LengthMismatch { name: "out", found: out.len(), other, expected });
    }
    // What lies in no row.
    let (first, last) = (rows.offsets()[0] as usize, rows.offsets()[rows.len()] as usize);
    for plane in out.chunks_exact_mut(rows.values().len().max(1)) {
        plane[..first].fill(0);
        plane[last..].fill(0);
    }
    let blocks = blocks(rows.offsets(), SCORES_A_TASK);
    let pieces = split_planes(out, fractions.len(), rows.offsets(), &blocks);
    let tasks = blocks.into_iter().zip(pieces).collect();
    pool::each(threads, tasks, |(rows_of_task, planes): (Range<usize>, _)| {
        let start = rows.offsets()[rows_of_task.start] as usize;
        let mut out = Out { planes, start, fractions: &largest_first };
        let mut work = Work::new();
        for row in rows_of_task {
            let at = rows.offsets()[row] as usize..rows.offsets()[row + 1] as usize;
            if u32::try_from(at.len()).is_err() {
                let (found, expected) = (at.len() as f64, "fewer than 4294967296 scores");
                return Err(Error::BadValue { row, name: "row length", index: 0, found, expected });
            }
            op(row, at, &mut work, &mut out)?;
        }
        Ok(())
    })
}

fn check_fractions(fractions: &[f64]) -> Result<()> {
    match fractions.iter().find(|&&f| !(f > 0.0 && f <= 1.0)) {
        None => Ok(()),
        Some(found) => {
            let expected = "above 0 and at most 1";
            Err(Error::BadParameter { name: "fraction", found: found.to_string(), expected })
        }
    }
}

fn same_length(name: &'static str, found: usize, scores: &Ragged<'_, f32>) -> Result<()> {
    let expected = scores.values().len();
    if found == expected { Ok(()) } else { Err(Error::LengthMismatch { name, found, other: "scores", expected }) }
}

fn not_a_number(row: usize, index: usize) -> Error {
    Error::BadValue { row, name: "scores", index, found: f64::NAN, expected: "a number" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ragged::even_offsets;
    use crate::score::tests::score;
    use proptest::prelude::*;

    fn rationales(
        scores: &Ragged<'_, f32>,
        selectable: Option<&[u8]>,
        fractions: &[f64],
        threads: Option<usize>,
    ) -> Result<Vec<bool>> {
        // What stood there before must not matter.
        let mut out = vec![7; fractions.len() * scores.values().len()];
        super::rationales(scores, selectable, fractions, threads, &mut out).map(|()| marked(&out))
    }

    fn word_rationales(scores: &Ragged<'_, f32>, words: &[i32], how: Pooling, fraction: f64) -> Result<Vec<bool>> {
        let mut out = vec![7; scores.values().len()];
        super::word_rationales(scores, words, how, &[fraction], None, &mut out).map(|()| marked(&out))
    }

    fn marked(out: &[u8]) -> Vec<bool> {
        assert!(out.iter().all(|&mark| mark < 2));
        out.iter().map(|&mark| mark == 1).collect()
    }

    /// Sort all positions of a row, take the first ones.
    fn slow(scores: &[f32], selectable: &[u8], fraction: f64) -> Vec<bool> {
        let mut order: Vec<usize> = (0..scores.len()).filter(|&i| selectable[i] != 0).collect();
        order.sort_by(|&a, &b| scores[b].partial_cmp(&scores[a]).unwrap_or(std::cmp::Ordering::Equal));
        let mut marks = vec![false; scores.len()];
        for &i in &order[..count(order.len(), fraction)] {
            marks[i] = true;
        }
        marks
    }

    proptest! {
        #[test]
        fn equals_sorting(
            rows in 0_usize..4,
            width in prop_oneof![0_usize..40, 60_usize..70, 120_usize..300],
            cells in prop::collection::vec((score(), 0_u8..6), 900),
            fractions in prop::collection::vec(0.001_f64..=1.0, 0..5),
        ) {
            let cells = &cells[..rows * width];
            let scores: Vec<f32> = cells.iter().map(|c| c.0).collect();
            let selectable: Vec<u8> = cells.iter().map(|c| c.1).collect();
            let offsets = even_offsets(rows, width);
            let found = rationales(&Ragged::new("scores", &scores, &offsets)?, Some(&selectable), &fractions, Some(1))?;
            for (f, &fraction) in fractions.iter().enumerate() {
                for row in 0..rows {
                    let at = row * width..(row + 1) * width;
                    let plane = &found[f * scores.len()..(f + 1) * scores.len()];
                    prop_assert_eq!(&plane[at.clone()], slow(&scores[at.clone()], &selectable[at], fraction));
                }
            }
        }
    }

    #[test]
    fn threads_change_nothing() -> Result<()> {
        let scores: Vec<f32> = (0..100_000_u64).map(|i| (i * 7_919 % 1_009) as f32).collect();
        let offsets = even_offsets(1000, 100);
        let rows = Ragged::new("scores", &scores, &offsets)?;
        let one = rationales(&rows, None, &[0.5, 0.05], Some(1))?;
        assert_eq!(one, rationales(&rows, None, &[0.5, 0.05], Some(3))?);
        assert_eq!(one, rationales(&rows, None, &[0.5, 0.05], None)?);
        Ok(())
    }

    #[test]
    fn counts_round_half_to_even_and_never_to_nothing() {
        assert_eq!([0, 1, 5, 25, 50].map(|n| count(n, 0.1)), [0, 1, 1, 2, 5]);
        assert_eq!([0, 1, 5, 25, 50].map(|n| count(n, 0.5)), [0, 1, 2, 12, 25]);
    }

    #[test]
    fn fractions_are_checked_even_without_rows() -> Result<()> {
        let none = Ragged::new("scores", &[0.0; 0], &[0])?;
        for bad in [0.0, -0.1, 1.01, f64::NAN, f64::INFINITY] {
            let error = rationales(&none, None, &[0.5, bad], None).err().map(|e| e.to_string());
            assert_eq!(error, Some(format!("fraction is {bad}, expected above 0 and at most 1")));
        }
        Ok(())
    }

    #[test]
    fn a_slice_of_a_longer_array_keeps_its_positions() -> Result<()> {
        let rows = Ragged::new("scores", &[9.0, 1.0, 2.0, 3.0, 9.0], &[1, 3, 3, 4])?;
        assert_eq!(rationales(&rows, None, &[0.5], None)?, [false, false, true, true, false]);
        Ok(())
    }

    #[test]
    fn a_word_moves_as_a_whole() -> Result<()> {
        let scores = [5.0, 0.0, 1.0, 4.0, 9.0, 1.0];
        let words = [-1, 0, 0, 2, -1, 2];
        let rows = Ragged::new("scores", &scores, &[0, 6])?;
        let chosen = |how, fraction| word_rationales(&rows, &words, how, fraction);
        assert_eq!(chosen(Pooling::Max, 0.5)?, [false, false, false, true, false, true]);
        assert_eq!(chosen(Pooling::First, 1.0)?, [false, true, true, true, false, true]);
        let tie = Ragged::new("scores", &[1.0, 2.0, 3.0], &[0, 3])?;
        assert_eq!(word_rationales(&tie, &[0, 0, 1], Pooling::Sum, 0.5)?, [true, true, false]);
        assert_eq!(word_rationales(&tie, &[0, 0, 1], Pooling::Mean, 0.5)?, [false, false, true]);
        Ok(())
    }

    #[test]
    fn refuses_what_has_no_order() -> Result<()> {
        let scores = [0.0, f32::NAN, 1.0, f32::NAN];
        let rows = Ragged::new("scores", &scores, &[0, 2, 4])?;
        assert!(rationales(&rows, Some(&[1, 0, 1, 0]), &[0.5], None).is_ok());
        assert!(super::rationales(&rows, Some(&[1, 0, 1, 0]), &[0.5], None, &mut [0; 3]).is_err());
        let error = rationales(&rows, Some(&[1, 0, 1, 1]), &[0.5], None).err().map(|e| e.to_string());
        assert_eq!(error.as_deref(), Some("row 1: scores[1] is NaN, expected a number"));
        assert!(word_rationales(&rows, &[0, -1, 1, 1], Pooling::First, 0.5).is_err());
        let infinite = Ragged::new("scores", &[f32::INFINITY, f32::NEG_INFINITY], &[0, 2])?;
        assert!(word_rationales(&infinite, &[0, 0], Pooling::Sum, 0.5).is_err());
        assert!(word_rationales(&infinite, &[1, 0], Pooling::Sum, 0.5).is_err());
        assert!(word_rationales(&infinite, &[0], Pooling::Sum, 0.5).is_err());
        Ok(())
    }
}
