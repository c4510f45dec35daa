//! Resampling whose draws depend on the seed, the row's identity and the replicate alone, so that it streams, merges
//! and does not care about the order of rows.
//!
//! A replicate is a weight for every row; what is kept of a batch is, per column and replicate, the sum of weight
//! times value and the sum of weights of the defined values. All sums are sums of integers, hence exact.

use crate::error::{Error, Result};
use crate::lanes::{REPLICATES, Units, mix};
use crate::pool;
use crate::ragged::Ragged;
use crate::sums::n_rows;

pub use crate::lanes::Weights;
use rayon::prelude::*;

/// 128 bits that stand for a row's id.
pub type RowHash = [u64; 2];

/// Sums over the rows of a batch, column by column, `[columns, replicates]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightedSums {
    /// Weight times value, in units of the column's step.
    pub sums: Vec<i64>,
    /// Weights of the rows where the column is defined.
    pub counts: Vec<i64>,
}

/// Rows of a batch whose sums stay whole numbers below 2⁵³ (2³¹ a value, weight ≤ 8).
const MOST_ROWS: usize = 1 << 18;
const MOST_REPLICATES: usize = 1_000_000;
/// Largest value, in units of the column's step.
const LARGEST: f64 = 2_147_483_648.0;
/// What the high half of a value counts.
const HALF: f64 = 65_536.0;

/// The FNV-1a hash, 128 bits, of each row of bytes.
#[must_use]
pub fn hash_ids(ids: &Ragged<'_, u8>) -> Vec<RowHash> {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash = |row| ids.row(row).iter().fold(OFFSET, |h, &byte| (h ^ u128::from(byte)).wrapping_mul(PRIME));
    (0..ids.len()).map(hash).map(|h| [(h >> 64) as u64, h as u64]).collect()
}

/// Pairs of words as hashes.
pub fn row_hashes(words: &[u64]) -> Result<&[RowHash]> {
    let (hashes, rest) = words.as_chunks();
    if rest.is_empty() {
        return Ok(hashes);
    }
    let expected = 2 * hashes.len();
    Err(Error::LengthMismatch { name: "rows", found: words.len(), other: "two words a row", expected })
}

/// Sums of every column under every replicate.
///
/// `values` holds the columns one after the other, a NaN is undefined and weighs nothing. `steps[c]` is the precision
/// to which column `c` is rounded (1 for counts); values may reach 2³¹ steps.
pub fn weighted_sums(
    kind: Weights,
    seed: u64,
    rows: &[RowHash],
    values: &[f64],
    steps: &[f64],
    replicates: usize,
    threads: Option<usize>,
) -> Result<WeightedSums> {
    sums_by(Units::best(), kind, seed, rows, values, steps, replicates, threads)
}

/// [`weighted_sums`] with these vector units.
#[allow(clippy::too_many_arguments)]
fn sums_by(
    units: Units,
    kind: Weights,
    seed: u64,
    rows: &[RowHash],
    values: &[f64],
    steps: &[f64],
    replicates: usize,
    threads: Option<usize>,
) -> Result<WeightedSums> {
    let n = n_rows(values, steps.len())?;
    if n != rows.len() && !steps.is_empty() {
        return Err(Error::LengthMismatch { name: "rows", found: rows.len(), other: "values", expected: n });
    }
    if n > MOST_ROWS {
        return Err(Error::BadParameter {
            name: "rows",
            found: n.to_string(),
            expected: "at most 262144 in one batch",
        });
    }
    if replicates > MOST_REPLICATES {
        let found = replicates.to_string();
        return Err(Error::BadParameter { name: "replicates", found, expected: "at most 1000000" });
    }
    if n == 0 {
        let zeros = vec![0; steps.len() * replicates];
        return Ok(WeightedSums { sums: zeros.clone(), counts: zeros });
    }
    let batch = Batch::new(values, steps, n)?;
    let keys: Vec<u64> = rows.iter().map(|row| mix(row[1] ^ mix(row[0] ^ mix(seed)))).collect();
    let starts: Vec<usize> = (0..replicates).step_by(REPLICATES).collect();
    let one = |&start: &usize| units.block(kind, &keys, &batch.planes, start);
    let blocks: Vec<Vec<f64>> = match threads {
        Some(1) => starts.iter().map(one).collect(),
        _ => pool::run(threads, || Ok(starts.par_iter().map(one).collect()))?,
    };
    Ok(batch.spread(&blocks, replicates))
}

/// The nearest whole number, the even one of two, for numbers below 2⁵¹: above 2⁵² only whole numbers are left. (Rust's
/// own is a call where the oldest processors have no instruction for it.)
fn nearest(number: f64) -> f64 {
    const WHOLE: f64 = 6_755_399_441_055_744.0;
    (number + WHOLE) - WHOLE
}

/// A batch ready for summing: whole numbers, zero where undefined, in halves of 16 bits that the inner loops add
/// exactly. Equal halves stand there once, so columns with the same rows undefined share their counts.
struct Batch {
    /// Halves, `n` rows each.
    planes: Vec<f32>,
    /// Where the low and the high half of each column are; none if all of it is zero.
    columns: Vec<[Option<usize>; 2]>,
    /// Where the pattern (1 = defined) of each column is.
    patterns: Vec<Option<usize>>,
}

impl Batch {
    fn new(values: &[f64], steps: &[f64], n: usize) -> Result<Self> {
        let mut batch = Self { planes: Vec::new(), columns: Vec::new(), patterns: Vec::new() };
        for (column, &step) in steps.iter().enumerate() {
            let (mut low, mut high, mut pattern) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
            for (row, &value) in values.iter().skip(column * n).take(n).enumerate() {
                if value.is_nan() {
                    continue;
                }
                let units = nearest(value / step);
                // A bad step gives NaN here and is refused as well.
                if units.is_nan() || units.abs() > LARGEST {
                    let expected = "a number below 2^31 steps";
                    return Err(Error::BadValue { row, name: "values", index: column, found: value, expected });
                }
                let upper = nearest(units / HALF);
                (low[row], high[row], pattern[row]) = ((units - upper * HALF) as f32, upper as f32, 1.0);
            }
            let halves = [batch.plane(&low), batch.plane(&high)];
            let pattern = batch.plane(&pattern);
            batch.columns.push(halves);
            batch.patterns.push(pattern);
        }
        Ok(batch)
    }

    /// Where this plane is, which is added if it is new; none if it is all zero.
    fn plane(&mut self, plane: &[f32]) -> Option<usize> {
        if plane.iter().all(|&value| value == 0.0) {
            return None;
        }
        let known = self.planes.chunks_exact(plane.len()).position(|known| known == plane);
        known.or_else(|| {
            self.planes.extend(plane);
            Some(self.planes.len() / plane.len() - 1)
        })
    }

    /// Sums and counts `[columns, replicates]` from the blocks of replicates.
    fn spread(&self, blocks: &[Vec<f64>], replicates: usize) -> WeightedSums {
        let gather = |plane: Option<usize>| -> Vec<i64> {
            let Some(plane) = plane else { return vec![0; replicates] };
            let cells = blocks.iter().flat_map(|b| b.iter().skip(plane * REPLICATES).take(REPLICATES));
            cells.take(replicates).map(|&sum| sum as i64).collect()
        };
        let whole = |&[low, high]: &[Option<usize>; 2]| {
            gather(low).into_iter().zip(gather(high)).map(|(low, high)| low + high * HALF as i64).collect::<Vec<_>>()
        };
        WeightedSums {
            sums: self.columns.iter().flat_map(whole).collect(),
            counts: self.patterns.iter().flat_map(|&pattern| gather(pattern)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::{poisson, swap};
    use proptest::prelude::*;

    fn ids(n: usize) -> Vec<RowHash> {
        (0..n as u64).map(|i| [mix(i), mix(i + 1000)]).collect()
    }

    #[test]
    fn known_hashes() -> Result<()> {
        let hashes = hash_ids(&Ragged::new("ids", b"a", &[0, 0, 1])?);
        assert_eq!(hashes[0], [0x6c62_272e_07bb_0142, 0x62b8_2175_6295_c58d]);
        assert_eq!(hashes[1], [0xd228_cb69_6f1a_8caf, 0x7891_2b70_4e4a_8964]);
        Ok(())
    }

    #[test]
    fn refuses_what_it_cannot_add_exactly() {
        for bad in [f64::INFINITY, 1e300] {
            assert!(weighted_sums(Weights::Poisson, 0, &ids(1), &[bad], &[1.0], 4, None).is_err());
        }
        assert!(weighted_sums(Weights::Poisson, 0, &ids(1), &[1.0], &[0.0], 4, None).is_err());
        assert!(weighted_sums(Weights::Poisson, 0, &ids(2), &[1.0], &[1.0], 4, None).is_err());
        assert!(weighted_sums(Weights::Poisson, 0, &ids(1), &[1.0], &[1.0], usize::MAX, None).is_err());
        let odd = row_hashes(&[0; 5]).err().map(|e| e.to_string());
        assert_eq!(odd.as_deref(), Some("rows has length 5, expected 4 (as two words a row)"));
        assert_eq!(row_hashes(&[1, 2, 3, 4]), Ok(&[[1, 2], [3, 4]][..]));
    }

    #[test]
    fn limits_are_the_last_that_is_taken() {
        let taken = |rows: usize, replicates: usize| {
            weighted_sums(Weights::Swap, 0, &ids(rows), &vec![1.0; rows], &[1.0], replicates, Some(1)).is_ok()
        };
        assert!(taken(MOST_ROWS, 0) && !taken(MOST_ROWS + 1, 0));
        assert!(taken(0, MOST_REPLICATES) && !taken(0, MOST_REPLICATES + 1));
        let largest = |value: f64| weighted_sums(Weights::Swap, 0, &ids(1), &[value], &[0.5], 1, Some(1)).is_ok();
        assert!(largest(LARGEST / 2.0) && !largest(LARGEST / 2.0 + 1.0));
    }

    /// A column of zeros, the same column twice and one with other rows undefined share what they can.
    #[test]
    fn equal_halves_stand_once() -> Result<()> {
        let values = [0.0, 0.0, 3.0, 4.0, 3.0, 4.0, f64::NAN, 4.0];
        let batch = Batch::new(&values, &[1.0; 4], 2)?;
        assert_eq!(batch.planes, [1.0, 1.0, 3.0, 4.0, 0.0, 4.0, 0.0, 1.0]);
        assert_eq!(batch.columns, [[None, None], [Some(1), None], [Some(1), None], [Some(2), None]]);
        assert_eq!(batch.patterns, [Some(0), Some(0), Some(0), Some(3)]);
        Ok(())
    }

    #[test]
    fn no_rows_and_no_columns() -> Result<()> {
        assert_eq!(weighted_sums(Weights::Swap, 0, &[], &[], &[1.0], 3, None)?.sums, [0, 0, 0]);
        assert!(weighted_sums(Weights::Swap, 0, &ids(2), &[], &[], 3, Some(1))?.sums.is_empty());
        Ok(())
    }

    /// The draws of a row, worked out apart from this code (in Python, from the definitions of `lanes.rs`).
    #[test]
    fn draws_are_the_same_in_every_version() -> Result<()> {
        let drawn = |kind: Weights| -> Result<String> {
            let found = weighted_sums(kind, 15, &[[1, 2]], &[1.0], &[1.0], 192, Some(1))?;
            Ok(found.sums.iter().map(i64::to_string).collect())
        };
        let poisson = [
            "010002120112101030301010111120201203212031120002031010211210201104531120101203000001161123011200",
            "012110210111100211111120200100101001201100120114101113200131012110000021000001131220111000010301",
        ];
        let swap = [
            "011101011111010010001001011001110100001001010010011111001100101000100100100110101110100001010101",
            "110111111101001111001110010101010010110000010010110010111101101111000101100100111100011111001101",
        ];
        assert_eq!(drawn(Weights::Poisson)?, poisson.concat());
        assert_eq!(drawn(Weights::Swap)?, swap.concat());
        Ok(())
    }

    /// The ends of what may be added, and around the ends of a half.
    fn extreme() -> impl Strategy<Value = f64> {
        prop_oneof![Just(f64::NAN), Just(-LARGEST), Just(LARGEST), -LARGEST..LARGEST, -32_770.0..32_770.0, Just(0.0)]
    }

    proptest! {
        /// Every kind of vector units this processor has, against one weight at a time.
        #[test]
        fn all_units_give_equal_sums(
            values in prop::collection::vec(extreme(), 5..400),
            columns in 1_usize..6,
            seed in any::<u64>(),
            swapped in any::<bool>(),
        ) {
            let n = values.len() / columns;
            let (values, steps, rows) = (&values[..n * columns], vec![1.0; columns], ids(n));
            let kind = if swapped { Weights::Swap } else { Weights::Poisson };
            let mut expected = WeightedSums { sums: vec![0; columns * 200], counts: vec![0; columns * 200] };
            for (i, &value) in values.iter().enumerate() {
                let key = mix(rows[i % n][1] ^ mix(rows[i % n][0] ^ mix(seed)));
                for r in 0..200 {
                    let start = r / REPLICATES * REPLICATES;
                    let weights = if swapped { swap(key, start) } else { poisson(key, start) };
                    if !value.is_nan() {
                        expected.sums[i / n * 200 + r] += i64::from(weights[r - start]) * value.round_ties_even() as i64;
                        expected.counts[i / n * 200 + r] += i64::from(weights[r - start]);
                    }
                }
            }
            for units in Units::all() {
                let found = sums_by(units, kind, seed, &rows, values, &steps, 200, Some(1))?;
                prop_assert!(found == expected, "{units:?}");
            }
        }

        /// One weight at a time, straight from the definition.
        #[test]
        fn agrees_with_one_weight_at_a_time(
            values in prop::collection::vec(prop_oneof![Just(f64::NAN), -100.0..100.0], 1..80),
            replicates in 1_usize..300,
            seed in any::<u64>(),
            swapped in any::<bool>(),
        ) {
            let kind = if swapped { Weights::Swap } else { Weights::Poisson };
            let rows = ids(values.len());
            let whole = weighted_sums(kind, seed, &rows, &values, &[1.0], replicates, None)?;
            for r in [0, replicates / 2, replicates - 1] {
                let (mut sum, mut count) = (0, 0);
                for (row, &value) in rows.iter().zip(&values) {
                    let key = mix(row[1] ^ mix(row[0] ^ mix(seed)));
                    let start = r / REPLICATES * REPLICATES;
                    let weights = if swapped { swap(key, start) } else { poisson(key, start) };
                    let weight = i64::from(weights[r - start]);
                    if !value.is_nan() {
                        sum += weight * value.round_ties_even() as i64;
                        count += weight;
                    }
                }
                prop_assert_eq!((whole.sums[r], whole.counts[r]), (sum, count));
            }
        }

        #[test]
        fn parts_add_up(values in prop::collection::vec(-1.0..1.0, 2..90), cut in 1_usize..90) {
            let cut = cut.min(values.len());
            let rows = ids(values.len());
            let run = |rows: &[RowHash], values: &[f64]| {
                weighted_sums(Weights::Poisson, 7, rows, values, &[1.0 / 1_073_741_824.0], 130, Some(2))
            };
            let (whole, a, b) = (run(&rows, &values)?, run(&rows[..cut], &values[..cut])?, run(&rows[cut..], &values[cut..])?);
            for (w, (a, b)) in whole.sums.iter().zip(a.sums.iter().zip(&b.sums)) {
                prop_assert_eq!(*w, a + b);
            }
        }
    }
}
