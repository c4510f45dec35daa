//! Resampling whose draws depend on the seed, the row's identity and the replicate alone, so that it streams, merges
//! and does not care about the order of rows.
//!
//! A replicate is a weight for every row; what is kept of a batch is, per column and replicate, the sum of weight
//! times value and the sum of weights of the defined values. All sums are sums of integers, hence exact.

use crate::error::{Error, Result};
use crate::pool;
use crate::ragged::Ragged;
use crate::sums::n_rows;
use rayon::prelude::*;

/// 128 bits that stand for a row's id.
pub type RowHash = [u64; 2];

/// What a replicate does with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    /// How often the row is drawn: Poisson with mean 1 (the bootstrap of a stream).
    Poisson,
    /// Whether the row's results are swapped between two systems: 0 or 1, equally often (approximate randomization).
    Swap,
}

/// Sums over the rows of a batch, column by column, `[columns, replicates]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightedSums {
    /// Weight times value, in units of the column's step.
    pub sums: Vec<i64>,
    /// Weights of the rows where the column is defined.
    pub counts: Vec<i64>,
}

const ROWS: usize = 32;
const REPLICATES: usize = 128;
const LANES: usize = 16;
/// Rows of a batch whose sums stay whole numbers below 2⁵³ (2³¹ a value, weight ≤ 8).
const MOST_ROWS: usize = 1 << 18;
const MOST_REPLICATES: usize = 1_000_000;
/// Largest value, in units of the column's step.
const LARGEST: f64 = 2_147_483_648.0;

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
    let one = |&start: &usize| block(kind, &keys, &batch, start);
    let blocks: Vec<Vec<f64>> = match threads {
        Some(1) => starts.iter().map(one).collect(),
        _ => pool::run(threads, || Ok(starts.par_iter().map(one).collect()))?,
    };
    Ok(batch.spread(&blocks, replicates))
}

/// A batch ready for summing: whole numbers, zero where undefined, and each distinct pattern of definedness once.
struct Batch {
    n: usize,
    columns: Vec<f64>,
    /// Position in `columns` of the pattern (1 = defined) of each column.
    pattern_of: Vec<usize>,
}

impl Batch {
    fn new(values: &[f64], steps: &[f64], n: usize) -> Result<Self> {
        let mut columns = Vec::with_capacity(values.len());
        for (column, &step) in steps.iter().enumerate() {
            for (row, &value) in values.iter().skip(column * n).take(n).enumerate() {
                let units = if value.is_nan() { 0.0 } else { (value / step).round_ties_even() };
                // A bad step gives NaN here and is refused as well.
                if units.is_nan() || units.abs() > LARGEST {
                    let expected = "a number below 2^31 steps";
                    return Err(Error::BadValue { row, name: "values", index: column, found: value, expected });
                }
                columns.push(units);
            }
        }
        let mut patterns: Vec<Vec<f64>> = Vec::new();
        let mut pattern_of = Vec::with_capacity(steps.len());
        for column in 0..steps.len() {
            let defined = values.iter().skip(column * n).take(n).map(|v| if v.is_nan() { 0.0 } else { 1.0 });
            let pattern: Vec<f64> = defined.collect();
            let known = patterns.iter().position(|p| *p == pattern).unwrap_or_else(|| {
                patterns.push(pattern);
                patterns.len() - 1
            });
            pattern_of.push(steps.len() + known);
        }
        columns.extend(patterns.into_iter().flatten());
        Ok(Self { n, columns, pattern_of })
    }

    fn width(&self) -> usize {
        self.columns.len() / self.n
    }

    /// Sums and counts `[columns, replicates]` from the blocks of replicates.
    fn spread(&self, blocks: &[Vec<f64>], replicates: usize) -> WeightedSums {
        let n_columns = self.pattern_of.len();
        let gather = |column: usize| {
            let cells = blocks.iter().flat_map(move |b| b.iter().skip(column * REPLICATES).take(REPLICATES));
            cells.take(replicates).map(|&sum| sum as i64)
        };
        WeightedSums {
            sums: (0..n_columns).flat_map(gather).collect(),
            counts: self.pattern_of.iter().flat_map(|&p| gather(p)).collect(),
        }
    }
}

/// Weights of a tile of rows under one lane of replicates, side by side in memory.
type Tile = [[f64; LANES]; ROWS];

/// Sums `[width, REPLICATES]` under the replicates from `start` on.
fn block(kind: Weights, keys: &[u64], batch: &Batch, start: usize) -> Vec<f64> {
    let mut sums = vec![0.0; batch.width() * REPLICATES];
    let mut tiles = vec![[[0.0; LANES]; ROWS]; REPLICATES / LANES];
    for (tile_index, keys) in keys.chunks(ROWS).enumerate() {
        for (row, &key) in keys.iter().enumerate() {
            let weights = match kind {
                Weights::Poisson => poisson(key, start),
                Weights::Swap => swap(key, start),
            };
            for (tile, lane) in tiles.iter_mut().zip(weights.as_chunks().0) {
                tile[row] = lane.map(f64::from);
            }
        }
        for (column, sums) in batch.columns.chunks_exact(batch.n).zip(sums.chunks_exact_mut(REPLICATES)) {
            let values = column.get(tile_index * ROWS..).unwrap_or_default();
            for (tile, sums) in tiles.iter().zip(sums.as_chunks_mut().0) {
                add_rows(sums, tile, values);
            }
        }
    }
    sums
}

/// Adds value times weight to the sums, row after row, with the sums in registers.
fn add_rows(sums: &mut [f64; LANES], tile: &Tile, values: &[f64]) {
    let mut local = *sums;
    for (weights, &value) in tile.iter().zip(values) {
        for (sum, &weight) in local.iter_mut().zip(weights) {
            *sum += weight * value;
        }
    }
    *sums = local;
}

/// The finaliser of `SplitMix64`: every bit of the result depends on every bit of `z`.
fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The `index`-th word of the row's own stream.
fn word(key: u64, index: usize) -> u64 {
    mix(key.wrapping_add((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// A 16-bit draw counts once for each of these it is below: 2^16 · P(X ≥ 1), P(X ≥ 2), … P(X ≥ 8), rounded so that
/// the mean is exactly 1, less 2^15 because the draws are signed.
const POISSON: [i16; 8] = [8659, -15451, -27505, -31524, -32528, -32729, -32763, -32767];

/// Weights under the replicates from `start` on.
fn poisson(key: u64, start: usize) -> [i16; REPLICATES] {
    // Signed draws and limits, and eight comparisons each without a branch: what vector units compare best.
    let mut draws = [0_i16; REPLICATES];
    for (quad, draws) in draws.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let bits = word(key, start / 4 + quad);
        *draws = [bits as i16, (bits >> 16) as i16, (bits >> 32) as i16, (bits >> 48) as i16];
    }
    let mut weights = [0_i16; REPLICATES];
    for limit in POISSON {
        for (weight, &draw) in weights.iter_mut().zip(&draws) {
            *weight += i16::from(draw < limit);
        }
    }
    weights
}

/// Swaps under the replicates from `start` on.
fn swap(key: u64, start: usize) -> [i16; REPLICATES] {
    let mut weights = [0_i16; REPLICATES];
    for (part, weights) in weights.as_chunks_mut::<64>().0.iter_mut().enumerate() {
        let bits = word(key, start / 64 + part);
        for (lane, weight) in weights.iter_mut().enumerate() {
            *weight = (bits >> lane) as i16 & 1;
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn poisson_has_mean_one_and_variance_one() {
        assert_eq!(POISSON.iter().map(|&t| i32::from(t) + 32768).sum::<i32>(), 65536);
        let (mut sum, mut squares, mut n) = (0.0, 0.0, 0.0);
        for key in 0..2000 {
            for w in poisson(mix(key), 0).map(f64::from) {
                sum += w;
                squares += w * w;
                n += 1.0;
            }
        }
        let mean: f64 = sum / n;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        assert!((squares / n - mean * mean - 1.0).abs() < 0.02);
    }

    #[test]
    fn refuses_what_it_cannot_add_exactly() {
        for bad in [f64::INFINITY, 1e300] {
            assert!(weighted_sums(Weights::Poisson, 0, &ids(1), &[bad], &[1.0], 4, None).is_err());
        }
        assert!(weighted_sums(Weights::Poisson, 0, &ids(1), &[1.0], &[0.0], 4, None).is_err());
        assert!(weighted_sums(Weights::Poisson, 0, &ids(2), &[1.0], &[1.0], 4, None).is_err());
        assert!(weighted_sums(Weights::Poisson, 0, &ids(1), &[1.0], &[1.0], usize::MAX, None).is_err());
        assert!(row_hashes(&[1, 2, 3]).is_err());
    }

    #[test]
    fn no_rows_and_no_columns() -> Result<()> {
        assert_eq!(weighted_sums(Weights::Swap, 0, &[], &[], &[1.0], 3, None)?.sums, [0, 0, 0]);
        assert!(weighted_sums(Weights::Swap, 0, &ids(2), &[], &[], 3, Some(1))?.sums.is_empty());
        Ok(())
    }

    proptest! {
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
