//! Scores as things to be ranked: integers that sort like the floats, and buckets that keep their order.

// Called in loops that must be compiled for the units of their caller.
#![allow(clippy::inline_always)]

/// Into how many buckets the scores of a row go.
pub const BUCKETS: usize = 255;

/// The number of a bucket is a byte; this one is left for what is in no bucket.
pub const NOWHERE: u8 = 255;

/// A score that can be ranked: a float with an integer that sorts like it.
pub trait Score: Copy + Send + Sync + Into<f64> {
    /// The integer. Its smallest value belongs to no number, only to a NaN.
    type Key: Copy + Ord + Send + Sync;
    /// Below the key of every number, −∞ included: a position that cannot be selected.
    const LOWEST: Self::Key;
    /// Above the key of every number.
    const HIGHEST: Self::Key;
    /// The key; 0.0 and −0.0 have the same one.
    fn key(self) -> Self::Key;
    /// The score of a key.
    fn of(key: Self::Key) -> Self;
    /// Whether the score is not a number.
    fn nan(self) -> bool;
    /// What to multiply distances from the highest score with to get buckets; none if the distances are not finite.
    fn scale(low: Self, high: Self) -> Option<Self>;
    /// The bucket, 0 = that of the highest score: never higher for a higher score. Anything for a NaN.
    fn bucket(self, high: Self, scale: Self) -> u8;
}

macro_rules! score {
    ($float:ty, $int:ty) => {
        impl Score for $float {
            type Key = $int;
            const LOWEST: $int = <$int>::MIN;
            const HIGHEST: $int = <$int>::MAX;
            #[inline(always)]
            fn key(self) -> $int {
                let bits = self.to_bits() as $int;
                let bits = if bits == <$int>::MIN { 0 } else { bits };
                bits ^ ((bits >> (<$int>::BITS - 1)) & <$int>::MAX)
            }
            #[inline(always)]
            fn of(key: $int) -> Self {
                Self::from_bits((key ^ ((key >> (<$int>::BITS - 1)) & <$int>::MAX)) as _)
            }
            #[inline(always)]
            fn nan(self) -> bool {
                self.is_nan()
            }
            #[inline(always)]
            fn scale(low: Self, high: Self) -> Option<Self> {
                let scale = (BUCKETS - 1) as Self / (high - low);
                (scale.is_finite() && scale > 0.0).then_some(scale)
            }
            #[inline(always)]
            fn bucket(self, high: Self, scale: Self) -> u8 {
                // Added to this, a number loses its fraction, and its integer is the low bits.
                const WHOLE: $float = 1.0 / <$float>::EPSILON;
                ((high - self) * scale + WHOLE).to_bits() as u8
            }
        }
    };
}
score!(f32, i32);
score!(f64, i64);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any number, with a liking for those that tie.
    pub(crate) fn score() -> impl Strategy<Value = f32> {
        prop_oneof![
            prop::sample::select(vec![0.0, -0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, 1e-45, -1e-45]),
            any::<f32>().prop_filter("a number", |x| !x.is_nan()),
            (-9_i8..9).prop_map(f32::from),
            -1.0_f32..1.0,
        ]
    }

    proptest! {
        #[test]
        fn buckets_keep_the_order(scores in prop::collection::vec(score(), 2..9)) {
            let mut keys: Vec<i32> = scores.iter().map(|score| score.key()).collect();
            keys.sort_unstable_by(|a, b| b.cmp(a));
            let (high, low) = (f32::of(keys[0]), f32::of(keys[keys.len() - 1]));
            if let Some(scale) = f32::scale(low, high) {
                let buckets: Vec<u8> = keys.iter().map(|&key| f32::of(key).bucket(high, scale)).collect();
                prop_assert!(buckets.is_sorted());
                prop_assert_eq!(buckets[0], 0);
            }
        }

        #[test]
        fn keys_sort_like_floats(a in score(), b in score()) {
            prop_assert_eq!(Some(a.key().cmp(&b.key())), a.partial_cmp(&b));
            prop_assert!(a.key() > f32::LOWEST);
            prop_assert_eq!(Some(f64::from(a).key().cmp(&f64::from(b).key())), a.partial_cmp(&b));
        }
    }
}
