//! The highest scores of a row, for several counts: a byte for each score says which bucket between the highest and the
//! lowest it lies in, and what a count takes is found in those bytes. A few scores far from the others share the first
//! and last bucket; where many scores lie in one bucket, they get buckets of their own.
//!
//! The loops run over whole arrays of fixed length without a branch, so that they compile to vector instructions.

// Loops must be compiled for the units of their caller, and without branches.
#![allow(clippy::inline_always, clippy::needless_bitwise_bool)]

use std::hint::select_unpredictable;

use crate::lanes::{Bytes, Loops, SPARE, Units};
use crate::score::{self, HIGHEST, Key, LOWEST};

/// The number of a bucket is a byte: this one, the last, and one that is left for what is in no bucket.
const LAST: u8 = 254;
const NOWHERE: u8 = 255;
/// Scores that the loops take at a time.
const LANES: usize = 16;
/// Bytes that they take at a time; keys and buckets are padded to a multiple of it.
const BYTES: usize = 64;
/// Up to so many scores, counting who is higher costs less than partitioning.
const FEW: usize = 16;
/// How often the scores of one bucket may get buckets of their own; after that they are partitioned.
const DEPTH: usize = 3;

/// The scores of one row, sorted into buckets; the buffers serve every row after it.
pub(crate) struct Buckets {
    units: Units,
    /// How many scores may be selected.
    n: usize,
    /// The keys of the row, `LOWEST` where nothing may be selected.
    keys: Vec<Key>,
    /// The bucket of each, [`NOWHERE`] where nothing may be selected.
    bucket_of: Vec<u8>,
    /// Whether all that may be selected are equal.
    equal: bool,
    /// Places of what lies in one bucket.
    places: Vec<u32>,
    /// The bucket with many scores whose places these are, for as long as the row is the same.
    crowded: u8,
    /// What lies in it.
    inside: Vec<f32>,
    /// Its own buckets, and marks.
    inner: Option<Box<Self>>,
    marks: Vec<u8>,
    cuts: Vec<Cut>,
    depth: usize,
}

/// Where the scores that a count takes end.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cut {
    count: usize,
    /// The bucket of the last score taken.
    bucket: u8,
    /// How many scores lie in the buckets before it, and in these and it.
    start: usize,
    end: usize,
}

impl Buckets {
    pub(crate) fn new(units: Units) -> Self {
        Self::at(units, 0)
    }

    fn at(units: Units, depth: usize) -> Self {
        Self {
            units,
            n: 0,
            keys: Vec::new(),
            bucket_of: Vec::new(),
            equal: false,
            places: Vec::new(),
            crowded: NOWHERE,
            inside: Vec::new(),
            inner: None,
            marks: Vec::new(),
            cuts: Vec::new(),
            depth,
        }
    }

    /// Takes the scores of a row, and says whether one that may be selected is not a number.
    pub(crate) fn fill(&mut self, scores: &[f32], marks: Option<&[u8]>) -> bool {
        let padded = scores.len().next_multiple_of(BYTES);
        self.keys.resize(padded, LOWEST);
        self.bucket_of.resize(padded, NOWHERE);
        self.places.resize(padded + SPARE, 0);
        self.crowded = NOWHERE;
        let (keys, buckets) = (&mut self.keys[..], &mut self.bucket_of[..]);
        let filled = self.units.run(Fill { scores, marks, keys, buckets });
        (self.n, self.equal) = (filled.n, filled.equal);
        filled.nan
    }

    /// How many scores may be selected.
    pub(crate) fn n(&self) -> usize {
        self.n
    }

    /// Where the highest `count` end, from 1 to [`Self::n`], for each of `counts`.
    pub(crate) fn cut(&self, counts: impl Iterator<Item = usize>, cuts: &mut Vec<Cut>) {
        cuts.clear();
        cuts.extend(counts.map(|count| Cut { count, bucket: 0, start: 0, end: self.n }));
        self.units.run(Search { buckets: &self.bucket_of, cuts });
    }

    /// Writes marks, 1 for what a cut takes and 0 for what it doesn't.
    pub(crate) fn mark(&mut self, cut: Cut, out: &mut [u8]) {
        let Cut { count, bucket, start, end } = cut;
        let (take, inside) = (count - start, end - start);
        let first_not = if count == end { bucket + 1 } else { bucket };
        self.units.run(Before { buckets: &self.bucket_of, first_not, out });
        if count == end {
            return;
        }
        if self.crowded != bucket {
            self.crowded = NOWHERE;
            let (keys, places) = (&self.keys[..], &mut self.places[..]);
            self.units.run(Inside { keys, buckets: &self.bucket_of, bucket, n: inside, take, places, out });
        }
        if inside > FEW {
            self.mark_crowded(bucket, inside, take, out);
        }
    }

    /// Marks the highest that lie in a bucket, whose places have been found.
    fn mark_crowded(&mut self, bucket: u8, n: usize, take: usize, out: &mut [u8]) {
        if self.equal {
            self.crowded = bucket;
            self.places[..take].iter().for_each(|&i| out[i as usize] = 1);
            return;
        }
        if self.depth == DEPTH {
            self.crowded = NOWHERE;
            let order = |&a: &u32, &b: &u32| self.keys[b as usize].cmp(&self.keys[a as usize]).then(a.cmp(&b));
            self.places[..n].select_nth_unstable_by(take - 1, order);
            self.places[..take].iter().for_each(|&i| out[i as usize] = 1);
            return;
        }
        let inner = self.inner.get_or_insert_with(|| Box::new(Self::at(self.units, self.depth + 1)));
        if self.crowded != bucket {
            self.inside.clear();
            self.inside.extend(self.places[..n].iter().map(|&i| score::of(self.keys[i as usize])));
            inner.fill(&self.inside, None);
            self.crowded = bucket;
        }
        inner.cut(std::iter::once(take), &mut self.cuts);
        self.marks.resize(n, 0);
        inner.mark(self.cuts[0], &mut self.marks);
        for (&i, &mark) in self.places.iter().zip(&self.marks) {
            out[i as usize] = mark;
        }
    }
}

/// Fills keys and buckets.
struct Fill<'a> {
    scores: &'a [f32],
    marks: Option<&'a [u8]>,
    keys: &'a mut [Key],
    buckets: &'a mut [u8],
}

/// How many scores may be selected, whether one of them is not a number, and whether they are all equal.
struct Filled {
    n: usize,
    nan: bool,
    equal: bool,
}

impl Loops for Fill<'_> {
    type Out = Filled;

    #[inline(always)]
    fn run(self, bytes: impl Bytes) -> Filled {
        let (keys, rest) = self.keys.split_at_mut(self.scores.len());
        rest.fill(LOWEST);
        let nan = fill_keys(self.scores, self.marks, keys);
        let (lows, highs) = ends_by_lane(self.keys);
        let (low, high) = outer(&lows, &highs);
        let last = LAST.into();
        let whole = score::scale(low, high, last);
        let (inner_low, inner_high) = inner(&lows, &highs);
        let inner =
            score::scale(inner_low, inner_high, last).filter(|&inner| whole.is_none_or(|whole| inner > 4.0 * whole));
        match (inner, whole) {
            (Some(scale), _) => {
                let high = score::of(inner_high);
                fill_buckets(self.keys, self.buckets, |key| score::step(score::of(key), high, scale, last) as u8);
            }
            (None, Some(scale)) => {
                let high = score::of(high);
                fill_buckets(self.keys, self.buckets, |key| score::step_inside(score::of(key), high, scale) as u8);
            }
            // Without a scale all scores lie in one bucket.
            (None, None) => fill_buckets(self.keys, self.buckets, |_| 0),
        }
        Filled { n: bytes.at_most(self.buckets, LAST), nan, equal: low == high }
    }
}

/// The lowest key that may be selected and the highest, of every lane.
#[inline(always)]
fn ends_by_lane(keys: &[Key]) -> ([Key; LANES], [Key; LANES]) {
    let (mut low, mut high) = ([HIGHEST; LANES], [LOWEST; LANES]);
    for keys in keys.as_chunks::<LANES>().0 {
        for ((low, high), &key) in low.iter_mut().zip(&mut high).zip(keys) {
            *low = (*low).min(if key == LOWEST { HIGHEST } else { key });
            *high = (*high).max(key);
        }
    }
    (low, high)
}

/// The lowest key that may be selected, and the highest.
#[inline(always)]
pub(crate) fn ends(keys: &[Key]) -> (Key, Key) {
    let (lows, highs) = ends_by_lane(keys);
    outer(&lows, &highs)
}

/// The lowest of all lanes, and the highest.
#[inline(always)]
fn outer(lows: &[Key; LANES], highs: &[Key; LANES]) -> (Key, Key) {
    (lows.iter().fold(HIGHEST, |a, &b| a.min(b)), highs.iter().fold(LOWEST, |a, &b| a.max(b)))
}

/// The highest of the lowest of four groups of lanes, and the lowest of their highest.
#[inline(always)]
fn inner(lows: &[Key; LANES], highs: &[Key; LANES]) -> (Key, Key) {
    let low = |i: usize| lows[i].min(lows[i + 4]).min(lows[i + 8].min(lows[i + 12]));
    let high = |i: usize| highs[i].max(highs[i + 4]).max(highs[i + 8].max(highs[i + 12]));
    (low(0).max(low(1)).max(low(2).max(low(3))), high(0).min(high(1)).min(high(2).min(high(3))))
}

/// Fills in the keys, and says whether a score that may be selected is not a number.
#[inline(always)]
pub(crate) fn fill_keys(scores: &[f32], marks: Option<&[u8]>, keys: &mut [Key]) -> bool {
    match marks {
        Some(marks) => keys.iter_mut().zip(scores).zip(marks).fold(false, |nan, ((key, &score), &mark)| {
            *key = if mark == 0 { LOWEST } else { score::key(score) };
            nan | (score.is_nan() & (mark != 0))
        }),
        None => keys.iter_mut().zip(scores).fold(false, |nan, (key, &score)| {
            *key = score::key(score);
            nan | score.is_nan()
        }),
    }
}

#[inline(always)]
fn fill_buckets(keys: &[Key], buckets: &mut [u8], bucket: impl Fn(Key) -> u8) {
    for (out, &key) in buckets.iter_mut().zip(keys) {
        let bucket = bucket(key);
        *out = if key == LOWEST { NOWHERE } else { bucket };
    }
}

/// Finds the bucket of each cut by halving, all cuts at a time.
struct Search<'a> {
    buckets: &'a [u8],
    cuts: &'a mut [Cut],
}

impl Loops for Search<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self, bytes: impl Bytes) {
        for bit in (0..8).rev() {
            // Cuts that have not parted yet look at the same bucket.
            let (mut before, mut found) = (NOWHERE, 0);
            for cut in &mut *self.cuts {
                let last = cut.bucket + ((1 << bit) - 1);
                if last != before {
                    found = bytes.at_most(self.buckets, last);
                    before = last;
                }
                let beyond = found < cut.count;
                cut.bucket += u8::from(beyond) << bit;
                cut.start = select_unpredictable(beyond, found, cut.start);
                cut.end = select_unpredictable(beyond, cut.end, found);
            }
        }
    }
}

/// Marks all that lies in the buckets before one.
struct Before<'a> {
    buckets: &'a [u8],
    first_not: u8,
    out: &'a mut [u8],
}

impl Loops for Before<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self, _: impl Bytes) {
        for (out, &bucket) in self.out.iter_mut().zip(self.buckets) {
            *out = u8::from(bucket < self.first_not);
        }
    }
}

/// Finds what lies in one bucket, and marks the highest if they are few.
struct Inside<'a> {
    keys: &'a [Key],
    buckets: &'a [u8],
    bucket: u8,
    /// How many lie in it, and how many of them to mark.
    n: usize,
    take: usize,
    places: &'a mut [u32],
    out: &'a mut [u8],
}

impl Loops for Inside<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self, bytes: impl Bytes) {
        bytes.places(self.buckets, self.bucket, self.places);
        if self.n > FEW {
            return;
        }
        let places = &self.places[..self.n];
        let mut keys = [LOWEST; FEW];
        for (key, &i) in keys.iter_mut().zip(places) {
            *key = self.keys[i as usize];
        }
        // How many are to be marked before each: the higher ones, and of equal ones the earlier.
        let mut before = [0_u32; FEW];
        for other in 0..self.n {
            let key = keys[other];
            for i in 0..FEW {
                before[i] += u32::from((key > keys[i]) | ((key == keys[i]) & (other < i)));
            }
        }
        for (&i, &before) in places.iter().zip(&before) {
            self.out[i as usize] = u8::from((before as usize) < self.take);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::tests::score;
    use proptest::prelude::*;

    /// What the highest `counts` are by sorting all positions.
    fn slow(scores: &[f32], marks: &[u8], counts: &[usize]) -> Vec<Vec<bool>> {
        let mut order: Vec<usize> = (0..scores.len()).filter(|&i| marks[i] != 0).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(score::key(scores[i])));
        let taken = |count: usize| {
            let mut out = vec![false; scores.len()];
            order[..count].iter().for_each(|&i| out[i] = true);
            out
        };
        counts.iter().map(|&count| taken(count)).collect()
    }

    fn fast(row: &mut Buckets, scores: &[f32], marks: &[u8], counts: &[usize]) -> Vec<Vec<bool>> {
        assert!(!row.fill(scores, Some(marks)));
        let mut cuts = Vec::new();
        row.cut(counts.iter().copied(), &mut cuts);
        // What stood there before must not matter.
        let mut out = vec![7; scores.len()];
        let marked = cuts.iter().map(|&cut| {
            row.mark(cut, &mut out);
            assert!(out.iter().all(|&mark| mark < 2));
            out.iter().map(|&mark| mark == 1).collect()
        });
        marked.collect()
    }

    /// Rows whose lengths lie around multiples of [`LANES`] and [`BYTES`].
    fn row() -> impl Strategy<Value = Vec<(f32, u8)>> {
        let scores = prop_oneof![score(), 0.0_f32..1.0, Just(1.0_f32)];
        let length = prop_oneof![1_usize..20, 60_usize..70, 120_usize..135, 500_usize..530];
        length.prop_flat_map(move |length| prop::collection::vec((scores.clone(), 0_u8..6), length))
    }

    fn compare(units: Units, rows: &[Vec<(f32, u8)>], shares: &[f64]) {
        let mut buckets = Buckets::new(units);
        for row in rows {
            let (scores, marks): (Vec<f32>, Vec<u8>) = row.iter().copied().unzip();
            let n = marks.iter().filter(|&&mark| mark != 0).count();
            let mut counts: Vec<usize> = shares.iter().map(|share| (share * n as f64).ceil() as usize).collect();
            counts.retain(|&count| count > 0);
            counts.sort_by(|a, b| b.cmp(a));
            let expected = slow(&scores, &marks, &counts);
            assert_eq!(fast(&mut buckets, &scores, &marks, &counts), expected, "{units:?}");
        }
    }

    proptest! {
        #[test]
        fn every_kind_of_units_equals_sorting(
            rows in prop::collection::vec(row(), 1..4),
            shares in prop::collection::vec(0.0_f64..=1.0, 1..6),
        ) {
            for units in Units::all() {
                compare(units, &rows, &shares);
            }
        }
    }

    #[test]
    fn long_rows_and_many_equal_scores() {
        let few = |length: u32, step: u32| (0..length).map(|i| ((i * step % 5) as f32, u8::from(i % 7 != 0))).collect();
        let outlier = (0..3000_u32).map(|i| (if i == 9 { 1e30 } else { (i % 997) as f32 }, 1)).collect();
        // Most lie in the last bucket, and in the last of that, deeper than `DEPTH`.
        let crowded = (0..3000_u32).map(|i| ((((i * 7) % 3000) as f32 / 12.0 - 125.0).exp2(), 1)).collect();
        // More than 255 times `BYTES` bytes at most the same.
        let rows = [few(20_000, 1), vec![(0.0, 1); 40_000], few(BYTES as u32, 3), outlier, crowded];
        for units in Units::all() {
            compare(units, &rows, &[1.0, 0.9, 0.5, 0.499, 0.2, 0.01, 1e-9]);
        }
    }

    #[test]
    fn a_score_that_is_no_number_counts_where_it_may_be_selected() {
        for length in [1, 15, 16, 17, 64, 65] {
            for at in 0..length {
                let (mut scores, mut marks) = (vec![1.0_f32; length], vec![1; length]);
                scores[at] = f32::NAN;
                for units in Units::all() {
                    assert!(Buckets::new(units).fill(&scores, None));
                    assert!(Buckets::new(units).fill(&scores, Some(&marks)));
                }
                marks[at] = 0;
                for units in Units::all() {
                    assert!(!Buckets::new(units).fill(&scores, Some(&marks)));
                }
            }
        }
    }
}
