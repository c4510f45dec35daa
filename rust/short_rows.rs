//! Rows of few scores: what lies before each is counted by comparing each with each.
//!
//! The comparisons are of 16-bit steps between the lowest score and the highest. Where scores share a step at a cut, the
//! row is left to `buckets.rs`.

// Loops must be compiled for the units of their caller, and without branches.
#![allow(clippy::inline_always)]

use crate::buckets::{ends, fill_keys};
use crate::lanes::{Bytes, Loops};
use crate::score::{self, LOWEST};

/// How many of `n` units a rationale of this fraction has: `max(1, round_half_even(fraction · n))`, 0 if `n` is 0.
#[must_use]
#[inline]
pub fn count(n: usize, fraction: f64) -> usize {
    ((fraction * n as f64).round_ties_even() as usize).clamp(usize::from(n > 0), n)
}

/// Scores of a row that is short.
pub(crate) const SHORT: usize = 64;
/// Steps from the highest score to the lowest; as signed numbers, which compare faster, from `FIRST` to below `NEVER`.
const LAST: u16 = 65_534;
const FIRST: i16 = i16::MIN;
const NEVER: i16 = i16::MAX;

/// A short row, and where the marks of each fraction go.
pub(crate) struct Short<'a, 'b> {
    pub scores: &'a [f32],
    /// What may be selected (0 = not); none = everything.
    pub selectable: Option<&'a [u8]>,
    /// Each plane's number, and its fraction.
    pub fractions: &'a [(usize, f64)],
    pub planes: &'a mut [&'b mut [u8]],
    /// Where the row starts in every plane. What follows the row may be written to: rows are marked in their order.
    pub start: usize,
}

impl Loops for Short<'_, '_> {
    /// Whether the row was marked.
    type Out = bool;

    #[inline(always)]
    fn run(self, bytes: impl Bytes) -> bool {
        let mut keys = [LOWEST; SHORT];
        let length = self.scores.len();
        if fill_keys(self.scores, self.selectable, &mut keys[..length]) {
            return false;
        }
        let (low, high) = ends(&keys);
        let Some(scale) = score::scale(low, high, LAST) else { return false };
        let mut steps = [NEVER; SHORT];
        for (step, &key) in steps.iter_mut().zip(&keys) {
            let found = score::step(score::of(key), score::of(high), scale, LAST) as i16 ^ FIRST;
            *step = if key == LOWEST { NEVER } else { found };
        }
        let mut before = [0_i16; SHORT];
        for &step in &steps[..length] {
            for (before, &other) in before.iter_mut().zip(&steps) {
                *before += i16::from(step < other);
            }
        }
        let n = steps.iter().fold(0, |n, &step| n + i16::from(step != NEVER));
        for &(plane, fraction) in self.fractions {
            let count = count(n as usize, fraction);
            let mut marks = [0; SHORT];
            for (mark, &before) in marks.iter_mut().zip(&before) {
                *mark = u8::from(before < count as i16);
            }
            let out = &mut self.planes[plane][self.start..];
            match out.first_chunk_mut::<SHORT>() {
                Some(out) => *out = marks,
                None => out[..length].copy_from_slice(&marks[..length]),
            }
            if bytes.at_most(&marks, 0) != SHORT - count {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::Units;
    use crate::score::tests::score;
    use proptest::prelude::*;

    /// The marks of one fraction, if the row was marked, and what stands behind them.
    fn marked(units: Units, scores: &[f32], selectable: &[u8], fraction: f64) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut plane = [vec![7; scores.len() + 1], vec![7; SHORT + 9]].concat();
        let (mut planes, fractions) = ([&mut plane[1..]], [(0, fraction)]);
        let row = Short { scores, selectable: Some(selectable), fractions: &fractions, planes: &mut planes, start: 0 };
        units.run(row).then(|| (plane[1..=scores.len()].to_vec(), plane[scores.len() + 1..].to_vec()))
    }

    /// Sort all positions of a row, take the first ones.
    fn slow(scores: &[f32], selectable: &[u8], fraction: f64) -> Vec<u8> {
        let mut order: Vec<usize> = (0..scores.len()).filter(|&i| selectable[i] != 0).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(score::key(scores[i])));
        let mut marks = vec![0; scores.len()];
        order[..count(order.len(), fraction)].iter().for_each(|&i| marks[i] = 1);
        marks
    }

    proptest! {
        #[test]
        fn a_row_that_is_marked_is_marked_as_by_sorting(
            cells in prop::collection::vec((prop_oneof![score(), 0.0_f32..1.0], 0_u8..4), 1..=SHORT),
            fraction in 0.001_f64..=1.0,
        ) {
            let (scores, selectable): (Vec<f32>, Vec<u8>) = cells.into_iter().unzip();
            let expected = slow(&scores, &selectable, fraction);
            for units in Units::all() {
                if let Some((marks, behind)) = marked(units, &scores, &selectable, fraction) {
                    prop_assert_eq!(&marks, &expected);
                    // At most `SHORT` places from the start of the row.
                    prop_assert!(behind[SHORT - scores.len()..].iter().all(|&mark| mark == 7));
                }
            }
        }

        #[test]
        fn scores_that_differ_are_always_marked(order in Just((0..SHORT as u16).collect::<Vec<_>>()).prop_shuffle()) {
            let scores: Vec<f32> = order.into_iter().map(f32::from).collect();
            for units in Units::all() {
                for length in [2, 31, 33, SHORT] {
                    for fraction in [0.01, 0.3, 0.5, 1.0] {
                        let selectable = vec![1; length];
                        let found = marked(units, &scores[..length], &selectable, fraction).map(|found| found.0);
                        prop_assert_eq!(found, Some(slow(&scores[..length], &selectable, fraction)));
                    }
                }
            }
        }
    }

    #[test]
    fn leaves_what_has_no_order_or_ties_at_the_cut() {
        for units in Units::all() {
            assert_eq!(marked(units, &[1.0, f32::NAN], &[1, 1], 0.5), None);
            assert_eq!(marked(units, &[1.0, 1.0], &[1, 1], 0.5), None);
            assert_eq!(marked(units, &[2.0, 1.0, 1.0], &[1, 1, 1], 0.6), None);
            assert_eq!(marked(units, &[1.0, f32::INFINITY], &[1, 1], 0.5), None);
            assert_eq!(marked(units, &[], &[], 0.5), None);
        }
    }
}
