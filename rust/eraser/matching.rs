//! How many predicted spans meet a gold span well enough.
//!
//! Documents with few overlaps are done pair by pair. Where thousands of spans overlap thousands, pairs would take
//! minutes: there a gold span either holds the predicted one, lies in it, or reaches out on one side, and in each of
//! these four cases the best of them is found by a sweep over sorted spans, in n log n for each threshold.

use crate::eraser::spans::Span;

/// Pairs for each span up to which they are all looked at.
const FEW: usize = 64;

/// The least quotient that a division in double precision rounds to a threshold or more: `times` / 2^`shift`.
#[derive(Debug, Clone, Copy)]
struct Least {
    times: i128,
    shift: u32,
}

impl Least {
    /// None for a threshold outside (2^-8, 1], where sums of keys could overflow.
    fn of(threshold: f64) -> Option<Self> {
        if !(threshold > 1.0 / 256.0 && threshold <= 1.0) {
            return None;
        }
        let (bits, fraction) = (threshold.to_bits(), 1_u64 << 52);
        let mantissa = i128::from(bits & (fraction - 1) | fraction);
        let shift = 1075 - (bits >> 52) as u32;
        // Half way to the number before the threshold, which is nearer where the exponent changes.
        let (nearer, times) = if bits & (fraction - 1) == 0 { (2, 4 * mantissa - 1) } else { (1, 2 * mantissa - 1) };
        Some(Self { times, shift: shift + nearer })
    }

    /// Whether `common` / `union` reaches it.
    fn reached(self, common: i128, union: i128) -> bool {
        self.times * union <= common << self.shift
    }

    /// Of two spans that overlap, `[a, b)` on the left, `[c, d)` on the right and neither inside the other, the
    /// intersection over union is (b - c) / (d - a). It reaches this if the key of (b, a) is no
    /// less than that of (c, d).
    fn key(self, inner: i64, outer: i64) -> i128 {
        (i128::from(inner) << self.shift) + self.times * i128::from(outer)
    }
}

/// The greatest value at places up to one (a Fenwick tree).
#[derive(Debug, Default)]
struct Greatest(Vec<i128>);

const NOTHING: i128 = i128::MIN;

impl Greatest {
    fn clear(&mut self, places: usize) {
        self.0.clear();
        self.0.resize(places + 1, NOTHING);
    }

    fn raise(&mut self, place: usize, value: i128) {
        let mut at = place + 1;
        while let Some(greatest) = self.0.get_mut(at) {
            *greatest = value.max(*greatest);
            at += at & at.wrapping_neg();
        }
    }

    /// Of the places before one; none where there is no value.
    fn before(&self, place: usize) -> Option<i128> {
        let (mut at, mut greatest) = (place, NOTHING);
        while at > 0 {
            greatest = self.0.get(at).map_or(greatest, |value| greatest.max(*value));
            at &= at - 1;
        }
        (greatest != NOTHING).then_some(greatest)
    }
}

/// Counts matches, and keeps its memory from document to document.
#[derive(Debug, Default)]
pub struct Matcher {
    /// For each gold span the furthest end of it and those before it.
    reach: Vec<i64>,
    best: Vec<f64>,
    gold: Vec<Span>,
    ends: Vec<i64>,
    up_to: Greatest,
    from: Greatest,
    met: Vec<bool>,
}

impl Matcher {
    /// Calls `found` for each threshold, in order, with the number of predicted spans whose best intersection over
    /// union with a gold span is no less. Both lists must be sorted.
    pub fn count(&mut self, predicted: &[Span], gold: &[Span], thresholds: &[f64], mut found: impl FnMut(u64)) {
        self.gold.clear();
        self.gold.extend(gold.iter().filter(|span| !span.is_empty()));
        self.reach.clear();
        let mut furthest = i64::MIN;
        self.reach.extend(self.gold.iter().map(|span| {
            furthest = furthest.max(span.end);
            furthest
        }));
        let pairs = predicted.iter().fold(0_usize, |sum, span| sum.saturating_add(self.meeting(*span).len()));
        let exact: Option<Vec<Least>> = thresholds.iter().map(|&threshold| Least::of(threshold)).collect();
        match exact {
            Some(exact) if pairs > FEW.saturating_mul(predicted.len() + gold.len()) => {
                for least in exact {
                    found(self.by_sweeps(predicted, least));
                }
            }
            _ => {
                self.by_pairs(predicted);
                for &threshold in thresholds {
                    found(self.best.iter().filter(|&&iou| iou >= threshold).count() as u64);
                }
            }
        }
    }

    /// The gold spans among which all that share a position with a span are.
    fn meeting(&self, span: Span) -> &[Span] {
        let first = self.reach.partition_point(|&end| end <= span.start);
        let last = self.gold.partition_point(|gold| gold.start < span.end);
        self.gold.get(first..last).unwrap_or_default()
    }

    fn by_pairs(&mut self, predicted: &[Span]) {
        let mut best = std::mem::take(&mut self.best);
        best.clear();
        best.extend(predicted.iter().map(|span| {
            let meeting = self.meeting(*span).iter();
            meeting.map(|gold| span.iou(*gold)).fold(0.0, f64::max)
        }));
        self.best = best;
    }

    fn by_sweeps(&mut self, predicted: &[Span], least: Least) -> u64 {
        let Self { gold, ends, up_to, from, met, .. } = self;
        ends.clear();
        ends.extend(gold.iter().map(|span| span.end));
        ends.sort_unstable();
        let n = ends.len();
        let place = |end: i64| ends.partition_point(|&other| other < end);
        let length = |span: Span| i128::from(span.len());
        met.clear();
        met.resize(predicted.len(), false);
        // Gold spans that start no later.
        up_to.clear(n);
        from.clear(n);
        let mut waiting = gold.iter().peekable();
        for (span, met) in predicted.iter().zip(met.iter_mut()).filter(|(span, _)| !span.is_empty()) {
            while let Some(gold) = waiting.next_if(|gold| gold.start <= span.start) {
                up_to.raise(place(gold.end), least.key(gold.end, gold.start));
                from.raise(n - 1 - place(gold.end), -length(*gold));
            }
            let left = up_to.before(ends.partition_point(|&end| end <= span.end));
            let around = from.before(n - place(span.end));
            *met |= left.is_some_and(|key| key >= least.key(span.start, span.end));
            *met |= around.is_some_and(|shortest| least.reached(length(*span), -shortest));
        }
        // Those that start no earlier.
        up_to.clear(n);
        from.clear(n);
        let mut waiting = gold.iter().rev().peekable();
        for (span, met) in predicted.iter().zip(met.iter_mut()).rev().filter(|(span, _)| !span.is_empty()) {
            while let Some(gold) = waiting.next_if(|gold| gold.start >= span.start) {
                up_to.raise(place(gold.end), length(*gold));
                from.raise(n - 1 - place(gold.end), -least.key(gold.start, gold.end));
            }
            let inside = up_to.before(ends.partition_point(|&end| end <= span.end));
            let right = from.before(n - place(span.end));
            *met |= inside.is_some_and(|longest| least.reached(longest, length(*span)));
            *met |= right.is_some_and(|key| least.key(span.end, span.start) >= -key);
        }
        met.iter().filter(|met| **met).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eraser::spans::sort;
    use proptest::prelude::*;

    const THRESHOLDS: [f64; 8] = [0.1, 0.2, 0.25, 1.0 / 3.0, 0.5, 2.0 / 3.0, 0.9, 1.0];

    fn spans(up_to: usize, width: i64) -> impl Strategy<Value = Vec<Span>> {
        let span = (-width..width, -2..width).prop_map(|(start, length)| Span { start, end: start + length });
        prop::collection::vec(span, 0..up_to).prop_map(|mut spans| {
            sort(&mut spans);
            spans
        })
    }

    /// Every pair, with the division that the sweeps do without.
    fn slow(predicted: &[Span], gold: &[Span], threshold: f64) -> u64 {
        predicted.iter().filter(|p| gold.iter().map(|g| p.iou(*g)).fold(0.0, f64::max) >= threshold).count() as u64
    }

    fn swept(predicted: &[Span], gold: &[Span], threshold: f64) -> Option<u64> {
        let mut matcher = Matcher::default();
        matcher.gold.extend(gold.iter().filter(|span| !span.is_empty()));
        Least::of(threshold).map(|least| matcher.by_sweeps(predicted, least))
    }

    proptest! {
        #[test]
        fn sweeps_count_what_pairs_do(a in spans(20, 12), b in spans(20, 12)) {
            for threshold in THRESHOLDS {
                prop_assert_eq!(swept(&a, &b, threshold), Some(slow(&a, &b, threshold)), "{}", threshold);
            }
        }

        #[test]
        fn every_quotient_reaches_itself_and_nothing_more(common in 1_u64..1 << 40, more in 0_u64..1 << 40) {
            let union = common + more;
            let quotient = common as f64 / union as f64;
            for threshold in [quotient.next_down(), quotient, quotient.next_up()] {
                if let Some(least) = Least::of(threshold) {
                    prop_assert_eq!(least.reached(common.into(), union.into()), quotient >= threshold);
                }
            }
        }

        #[test]
        fn the_count_is_that_of_all_pairs(a in spans(300, 40), b in spans(300, 40)) {
            let mut matcher = Matcher::default();
            for _ in 0..2 {
                let mut found = Vec::new();
                matcher.count(&a, &b, &THRESHOLDS, |count| found.push(count));
                prop_assert_eq!(&found, &THRESHOLDS.map(|threshold| slow(&a, &b, threshold)));
            }
        }
    }

    #[test]
    fn thresholds_outside_the_range_are_counted_by_pairs() {
        let spans: Vec<Span> = (0..400).map(|i| Span { start: i, end: 1000 - i }).collect();
        let thresholds = [0.0, -1.0, 1e-9, 2.0, f64::NAN, 0.5];
        let mut found = Vec::new();
        Matcher::default().count(&spans, &spans, &thresholds, |count| found.push(count));
        assert_eq!(found, [400, 400, 400, 0, 0, 400]);
    }

    #[test]
    fn a_hundred_thousand_nested_spans_take_no_minutes() {
        let n = 100_000;
        let gold: Vec<Span> = (0..n).map(|i| Span { start: i, end: 2 * n - i }).collect();
        let predicted: Vec<Span> = (0..2 * n).map(|i| Span { start: i, end: i + 1 }).collect();
        let mut found = Vec::new();
        Matcher::default().count(&predicted, &gold, &[0.5, 0.1], |count| found.push(count));
        // Only the five innermost spans have ten positions or fewer.
        assert_eq!(found, [2, 10]);
    }

    #[test]
    fn extremes_do_not_overflow() {
        let ends = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
        let mut all: Vec<Span> =
            ends.iter().flat_map(|&start| ends.iter().map(move |&end| Span { start, end })).collect();
        sort(&mut all);
        for threshold in [1.0 / 255.0, 0.3, 1.0] {
            assert_eq!(swept(&all, &all, threshold), Some(21));
        }
    }
}
