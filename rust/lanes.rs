//! Inner loops compiled for several kinds of vector units, those of the bootstrap among them; the best is chosen at run
//! time.
//!
//! A wheel runs on every processor of its architecture, so what is not asked for here is compiled for the oldest of
//! them. Every kind adds the same whole numbers without rounding, so all results are equal to the last bit.

// Loops must be compiled for the units of their caller.
#![allow(clippy::inline_always)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256i, _mm256_cmpeq_epi8, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_set_epi64x, _mm256_set1_epi8,
    _mm512_cmpeq_epu8_mask, _mm512_cmple_epu8_mask, _mm512_set_epi64, _mm512_set1_epi8,
};

/// Replicates of a block.
pub(crate) const REPLICATES: usize = 128;
/// Rows whose weights lie in the nearest cache. Sums of so many products (a value up to 2¹⁵, a weight up to 8) are at
/// most 2²³: `f32` holds them exactly.
const ROWS: usize = 32;

/// What a replicate does with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    /// How often the row is drawn: Poisson with mean 1 (the bootstrap of a stream).
    Poisson,
    /// Whether the row's results are swapped between two systems: 0 or 1, equally often (approximate randomization).
    Swap,
}

/// Weights of a few rows under a block of replicates.
type Tile = [[f32; REPLICATES]; ROWS];

/// A kind of vector units that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Units(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What every processor of the architecture has.
    Portable,
}

impl Units {
    /// All kinds that this processor has, the fastest first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let here = [
            #[cfg(target_arch = "x86_64")]
            (
                Kind::Avx512,
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("popcnt")
                    && is_x86_feature_detected!("bmi1"),
            ),
            #[cfg(target_arch = "x86_64")]
            (
                Kind::Avx2,
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("popcnt")
                    && is_x86_feature_detected!("bmi1"),
            ),
            (Kind::Portable, true),
        ];
        here.into_iter().filter(|&(_, has)| has).map(|(kind, _)| Self(kind))
    }

    /// The fastest kind.
    pub(crate) fn best() -> Self {
        Self::all().next().unwrap_or(Self(Kind::Portable))
    }

    /// Runs the loops as compiled for this kind.
    #[allow(unsafe_code)]
    pub(crate) fn run<L: Loops>(self, loops: L) -> L::Out {
        match self.0 {
            // SAFETY: a `Units` of this kind is made by `all` alone, which found the features on this processor.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => unsafe { run_avx512(loops) },
            // SAFETY: the same.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { run_avx2(loops) },
            Kind::Portable => loops.run(Portable),
        }
    }

    /// Sums of weight times value `[planes, REPLICATES]` under the replicates from `start` on, a multiple of
    /// `REPLICATES`.
    ///
    /// `planes` holds as many values as there are `keys` for each plane: whole numbers of at most 2¹⁵.
    #[allow(unsafe_code)]
    pub(crate) fn block(self, kind: Weights, keys: &[u64], planes: &[f32], start: usize) -> Vec<f64> {
        match self.0 {
            // SAFETY: a `Units` of this kind is made by `all` alone, which found the features on this processor.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => unsafe { block_avx512(kind, keys, planes, start) },
            // SAFETY: the same.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { block_avx2(kind, keys, planes, start) },
            // Multiplying and adding in one instruction is no gain where there is none: a library call.
            Kind::Portable => block::<1, 32, { cfg!(target_arch = "aarch64") }>(kind, keys, planes, start),
        }
    }
}

/// Loops for [`Units::run`]. `run` and all that it calls must always be inlined, so that they are compiled for the units
/// of the caller. They do not fuse a product and a sum, so every kind rounds alike.
pub(crate) trait Loops {
    /// What the loops return.
    type Out;
    /// The loops.
    fn run(self, bytes: impl Bytes) -> Self::Out;
}

/// Comparisons of bytes, written out where loops do not compile to what the units have for them. There must be a multiple
/// of 64 bytes.
pub(crate) trait Bytes: Copy {
    /// How many are at most `last`.
    fn at_most(self, bytes: &[u8], last: u8) -> usize;
    /// Writes the places of those that equal `byte` to `out`, which is longer than `bytes` by [`SPARE`].
    fn places(self, bytes: &[u8], byte: u8, out: &mut [u32]);
}

/// How much longer the output of [`Bytes::places`] must be than what it can find.
pub(crate) const SPARE: usize = 2;

/// Without vector instructions of our own.
#[derive(Clone, Copy)]
struct Portable;

impl Bytes for Portable {
    fn at_most(self, bytes: &[u8], last: u8) -> usize {
        // Sums of so few bytes fit in a byte.
        let sums = bytes.chunks(128).map(|bytes| bytes.iter().fold(0_u8, |sum, &byte| sum + u8::from(byte <= last)));
        sums.map(usize::from).sum()
    }

    fn places(self, bytes: &[u8], byte: u8, out: &mut [u32]) {
        for (out, place) in out.iter_mut().zip(memchr::memchr_iter(byte, bytes)) {
            *out = place as u32;
        }
    }
}

/// From masks: a bit for each of 64 bytes, set where it is at most so much, or equal.
#[derive(Clone, Copy)]
#[cfg(target_arch = "x86_64")]
struct Masks<A, E>(A, E);

#[cfg(target_arch = "x86_64")]
impl<A: Fn(&[u8; 64], u8) -> u64 + Copy, E: Fn(&[u8; 64], u8) -> u64 + Copy> Bytes for Masks<A, E> {
    #[inline(always)]
    fn at_most(self, bytes: &[u8], last: u8) -> usize {
        bytes.as_chunks().0.iter().map(|bytes| (self.0)(bytes, last).count_ones() as usize).sum()
    }

    #[inline(always)]
    fn places(self, bytes: &[u8], byte: u8, out: &mut [u32]) {
        let mut n = 0;
        for (start, bytes) in (0..).step_by(64).zip(bytes.as_chunks().0) {
            let mut mask = (self.1)(bytes, byte);
            // Few chunks have more than two; that a chunk has one or two cannot be foreseen, so both are written anyway.
            for _ in 0..SPARE {
                out[n] = start | mask.trailing_zeros();
                n += usize::from(mask != 0);
                mask &= mask.wrapping_sub(1);
            }
            while mask != 0 {
                out[n] = start | mask.trailing_zeros();
                n += 1;
                mask &= mask - 1;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt,bmi1")]
fn run_avx512<L: Loops>(loops: L) -> L::Out {
    let vector = |bytes: &[u8; 64]| {
        let w: [i64; 8] = words(bytes);
        _mm512_set_epi64(w[7], w[6], w[5], w[4], w[3], w[2], w[1], w[0])
    };
    let at_most = |bytes: &[u8; 64], last: u8| _mm512_cmple_epu8_mask(vector(bytes), _mm512_set1_epi8(last as i8));
    let equal = |bytes: &[u8; 64], byte: u8| _mm512_cmpeq_epu8_mask(vector(bytes), _mm512_set1_epi8(byte as i8));
    loops.run(Masks(at_most, equal))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt,bmi1")]
fn run_avx2<L: Loops>(loops: L) -> L::Out {
    let halves = |bytes: &[u8; 64]| {
        let w: [i64; 8] = words(bytes);
        [_mm256_set_epi64x(w[3], w[2], w[1], w[0]), _mm256_set_epi64x(w[7], w[6], w[5], w[4])]
    };
    let mask = |halves: [__m256i; 2]| {
        let [low, high] = halves.map(|half| _mm256_movemask_epi8(half) as u32);
        u64::from(high) << 32 | u64::from(low)
    };
    let at_most = |bytes: &[u8; 64], last: u8| {
        let last = _mm256_set1_epi8(last as i8);
        mask(halves(bytes).map(|half| _mm256_cmpeq_epi8(_mm256_min_epu8(half, last), half)))
    };
    let equal = |bytes: &[u8; 64], byte: u8| {
        let byte = _mm256_set1_epi8(byte as i8);
        mask(halves(bytes).map(|half| _mm256_cmpeq_epi8(half, byte)))
    };
    loops.run(Masks(at_most, equal))
}

/// Bytes as words, the first byte the lowest.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn words<const BYTES: usize, const WORDS: usize>(bytes: &[u8; BYTES]) -> [i64; WORDS] {
    let words = bytes.as_chunks::<8>().0;
    std::array::from_fn(|i| i64::from_le_bytes(words[i]))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn block_avx512(kind: Weights, keys: &[u64], planes: &[f32], start: usize) -> Vec<f64> {
    block::<2, 64, true>(kind, keys, planes, start)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn block_avx2(kind: Weights, keys: &[u64], planes: &[f32], start: usize) -> Vec<f64> {
    block::<1, 64, true>(kind, keys, planes, start)
}

/// [`Units::block`] with the sums of `PLANES` planes under `LANES` replicates in registers. Always inlined, as is all
/// that it calls, so that it is compiled for the units of its caller.
#[inline(always)]
fn block<const PLANES: usize, const LANES: usize, const FUSED: bool>(
    kind: Weights,
    keys: &[u64],
    planes: &[f32],
    start: usize,
) -> Vec<f64> {
    let n = keys.len();
    let mut sums = vec![0.0; planes.len() / n.max(1) * REPLICATES];
    let mut tile: Box<Tile> = Box::new([[0.0; REPLICATES]; ROWS]);
    for (index, keys) in keys.chunks(ROWS).enumerate() {
        for (row, &key) in tile.iter_mut().zip(keys) {
            let weights = match kind {
                Weights::Poisson => poisson(key, start),
                Weights::Swap => swap(key, start),
            };
            for (out, weight) in row.iter_mut().zip(weights) {
                *out = f32::from(weight);
            }
        }
        let rows = &tile[..keys.len()];
        let first = index * ROWS;
        let mut several = planes.chunks_exact(n * PLANES);
        let mut sums_of = sums.chunks_exact_mut(PLANES * REPLICATES);
        for (planes, sums) in several.by_ref().zip(sums_of.by_ref()) {
            add::<PLANES, LANES, FUSED>(rows, planes, n, first, sums);
        }
        let rest = several.remainder().chunks_exact(n).zip(sums_of.into_remainder().chunks_exact_mut(REPLICATES));
        for (plane, sums) in rest {
            add::<1, LANES, FUSED>(rows, plane, n, first, sums);
        }
    }
    sums
}

/// Adds the products of the rows from `first` on to the sums of `PLANES` planes of `n` values.
#[inline(always)]
fn add<const PLANES: usize, const LANES: usize, const FUSED: bool>(
    rows: &[[f32; REPLICATES]],
    planes: &[f32],
    n: usize,
    first: usize,
    sums: &mut [f64],
) {
    let values: [&[f32]; PLANES] = std::array::from_fn(|plane| &planes[plane * n + first..][..rows.len()]);
    for group in 0..REPLICATES / LANES {
        let mut local = [[0.0_f32; LANES]; PLANES];
        for (row, weights) in rows.iter().enumerate() {
            let weights = &weights.as_chunks::<LANES>().0[group];
            for (local, values) in local.iter_mut().zip(&values) {
                let value = values[row];
                for (sum, &weight) in local.iter_mut().zip(weights) {
                    *sum = if FUSED { weight.mul_add(value, *sum) } else { *sum + weight * value };
                }
            }
        }
        for (local, sums) in local.iter().zip(sums.chunks_exact_mut(REPLICATES)) {
            for (sum, &part) in sums[group * LANES..].iter_mut().zip(local) {
                *sum += f64::from(part);
            }
        }
    }
}

/// The finaliser of `SplitMix64`: every bit of the result depends on every bit of `z`.
#[inline(always)]
pub(crate) fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The `index`-th word of the row's own stream.
#[inline(always)]
fn word(key: u64, index: usize) -> u64 {
    mix(key.wrapping_add((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// A 16-bit draw counts once for each of these it is below: 2^16 · P(X ≥ 1), P(X ≥ 2), … P(X ≥ 8), rounded so that
/// the mean is exactly 1, less 2^15 because the draws are signed.
const POISSON: [i16; 8] = [8659, -15451, -27505, -31524, -32528, -32729, -32763, -32767];

/// Weights under the replicates from `start` on.
#[inline(always)]
pub(crate) fn poisson(key: u64, start: usize) -> [i16; REPLICATES] {
    // Words first, then signed draws, then comparisons in one expression without a branch: each compiles to a few
    // instructions on whole vectors.
    let mut words = [0; REPLICATES / 4];
    for (quad, bits) in words.iter_mut().enumerate() {
        *bits = word(key, start / 4 + quad);
    }
    let mut draws = [0_i16; REPLICATES];
    for (bits, draws) in words.into_iter().zip(draws.as_chunks_mut::<4>().0) {
        *draws = [bits as i16, (bits >> 16) as i16, (bits >> 32) as i16, (bits >> 48) as i16];
    }
    let below = |draw: i16, limit: usize| i16::from(draw < POISSON[limit]);
    let mut weights =
        draws.map(|draw| below(draw, 0) + below(draw, 1) + below(draw, 2) + below(draw, 3) + below(draw, 4));
    // A weight above 5 is rare: one row of 128 draws in fourteen has any.
    if draws.iter().fold(0, |any, &draw| any | below(draw, 5)) != 0 {
        for (weight, draw) in weights.iter_mut().zip(draws) {
            *weight += below(draw, 5) + below(draw, 6) + below(draw, 7);
        }
    }
    weights
}

/// Swaps under the replicates from `start` on.
#[inline(always)]
pub(crate) fn swap(key: u64, start: usize) -> [i16; REPLICATES] {
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
    fn the_portable_loops_are_always_there_and_last() {
        assert_eq!(Units::all().last(), Some(Units(Kind::Portable)));
        assert_eq!(Units::all().next(), Some(Units::best()));
    }
}
