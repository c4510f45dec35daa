//! Spans of token positions, half-open as Python's `range(start, end)`: reversed ones are empty, negative positions
//! are positions like any other.
//!
//! Nothing here walks over positions, so a span of a billion tokens costs no more than one of two.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::problem::{Fault, Outcome};

/// The positions from `start` to `end`, `end` not included; none if `end <= start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// First position.
    pub start: i64,
    /// One past the last position.
    pub end: i64,
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "[{}, {})", self.start, self.end)
    }
}

impl Span {
    /// Number of positions.
    pub fn len(self) -> u64 {
        if self.is_empty() { 0 } else { self.end.abs_diff(self.start) }
    }

    /// Whether it holds no position.
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// Number of positions in both.
    pub fn common(self, other: Self) -> u64 {
        Self { start: self.start.max(other.start), end: self.end.min(other.end) }.len()
    }

    /// Intersection over union, 0 where both are empty.
    pub fn iou(self, other: Self) -> f64 {
        let common = self.common(other);
        let union = u128::from(self.len()) + u128::from(other.len()) - u128::from(common);
        if union == 0 { 0.0 } else { common as f64 / union as f64 }
    }
}

/// A fault if a span has a position that a list of that length lacks; -1 is its last one, as in Python.
pub fn inside(span: Span, length: usize) -> Outcome<()> {
    let length = length as i64;
    if span.is_empty() || (span.start >= -length && span.end <= length) {
        return Ok(());
    }
    Err(Fault::new(span.to_string(), format!("positions from {} to {length}", -length)))
}

/// The positions of sorted spans in a list of that length, from its end where they are negative, as Python's indexing
/// does.
pub fn marks(sorted: &[Span], length: usize) -> Outcome<Vec<bool>> {
    let mut marks = vec![false; length];
    for span in merge(sorted) {
        inside(span, length)?;
        let from_end = (span.start + length as i64, span.end.min(0) + length as i64);
        for (start, end) in [from_end, (span.start.max(0), span.end)] {
            if start < end
                && let Some(part) = marks.get_mut(start as usize..end as usize)
            {
                part.fill(true);
            }
        }
    }
    Ok(marks)
}

/// Sorts spans and drops repeated ones.
pub fn sort(spans: &mut Vec<Span>) {
    spans.sort_unstable();
    spans.dedup();
}

/// The first two sorted, unequal spans that share a position.
pub fn overlap(sorted: &[Span]) -> Option<(Span, Span)> {
    // Where any two share a position, the earlier of them shares one with the next span as well.
    let spans = sorted.iter().filter(|span| !span.is_empty());
    spans.clone().zip(spans.skip(1)).find(|(a, b)| a.end > b.start).map(|(&a, &b)| (a, b))
}

/// The same positions as stretches that neither overlap nor touch, in order. `sorted` must be sorted.
pub fn merge(sorted: &[Span]) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::new();
    for &span in sorted.iter().filter(|span| !span.is_empty()) {
        match out.last_mut() {
            Some(last) if last.end >= span.start => last.end = last.end.max(span.end),
            _ => out.push(span),
        }
    }
    out
}

/// Number of positions of sorted spans.
pub fn positions(sorted: &[Span]) -> u64 {
    merge(sorted).iter().map(|span| span.len()).sum()
}

/// Number of positions in both of two sorted lists.
pub fn shared_positions(a: &[Span], b: &[Span]) -> u64 {
    let mut either = [a, b].concat();
    sort(&mut either);
    // The sum may pass 64 bits; the difference does not.
    positions(a).wrapping_add(positions(b)).wrapping_sub(positions(&either))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(spans: &[Span]) -> BTreeSet<i64> {
        spans.iter().flat_map(|s| s.start..s.end).collect()
    }

    fn spans() -> impl Strategy<Value = Vec<Span>> {
        let span = (-5_i64..15, -3_i64..8).prop_map(|(start, length)| Span { start, end: start + length });
        prop::collection::vec(span, 0..8).prop_map(|mut spans| {
            sort(&mut spans);
            spans
        })
    }

    proptest! {
        #[test]
        fn counts_are_those_of_sets(a in spans(), b in spans()) {
            prop_assert_eq!(positions(&a), set(&a).len() as u64);
            prop_assert_eq!(shared_positions(&a, &b), set(&a).intersection(&set(&b)).count() as u64);
        }

        #[test]
        fn overlaps_are_those_of_pairs(a in spans()) {
            let pair = |x: &Span, y: &Span| x != y && !set(&[*x]).is_disjoint(&set(&[*y]));
            prop_assert_eq!(overlap(&a).is_some(), a.iter().any(|x| a.iter().any(|y| pair(x, y))));
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        let all = Span { start: i64::MIN, end: i64::MAX };
        assert_eq!(all.len(), u64::MAX);
        assert!((all.iou(all) - 1.0).abs() < 1e-12);
        assert_eq!(Span { start: i64::MAX, end: i64::MIN }.len(), 0);
    }
}
