//! Scores as things to be ranked: integers that sort like the floats, and buckets that keep their order.

// Called in loops that must be compiled for the units of their caller.
#![allow(clippy::inline_always)]

/// A score that can be ranked: a float with an integer that sorts like it.
pub trait Score: Copy + Send + Sync + Into<f64> {
    /// The integer. Its smallest value belongs to no number, only to a NaN.
    type Key: Copy + Ord + Send + Sync;
    /// Below the key of every number, −∞ included: a position that cannot be selected.
    const LOWEST: Self::Key;
    /// Above the key of every number.
    const HIGHEST: Self::Key;
    /// Added to this, a number loses its fraction, and its integer is the low bits.
    const WHOLE: Self;
    /// The key; 0.0 and −0.0 have the same one.
    fn key(self) -> Self::Key;
    /// The score of a key.
    fn of(key: Self::Key) -> Self;
    /// Whether the score is not a number.
    fn nan(self) -> bool;
    /// What to multiply distances from `high` with to get steps from 0 to `last`; none if the distances are not finite.
    fn scale(low: Self, high: Self, last: u16) -> Option<Self>;
    /// The step, from 0 = that of `high` and above to `last` = that of `low` and below: never higher for a higher score.
    /// Anything for a NaN.
    fn step(self, high: Self, scale: Self, last: u16) -> u16;
    /// The same for a score that is no higher than `high` and no lower than `low`.
    fn step_inside(self, high: Self, scale: Self) -> u16;
    /// Whether the steps of a scale are less than a quarter of those of another.
    fn finer(scale: Self, other: Self) -> bool;
}

macro_rules! score {
    ($float:ty, $int:ty) => {
        impl Score for $float {
            type Key = $int;
            const LOWEST: $int = <$int>::MIN;
            const HIGHEST: $int = <$int>::MAX;
            const WHOLE: $float = 1.0 / <$float>::EPSILON;
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
            fn scale(low: Self, high: Self, last: u16) -> Option<Self> {
                let scale = Self::from(last) / (high - low);
                (scale.is_finite() && scale > 0.0).then_some(scale)
            }
            #[inline(always)]
            fn step(self, high: Self, scale: Self, last: u16) -> u16 {
                let (steps, last) = ((high - self) * scale, Self::from(last));
                // Not `max` and `min`, which are slower, for they ask for NaN.
                let steps = if steps > 0.0 { steps } else { 0.0 };
                let steps = if steps < last { steps } else { last };
                (steps + Self::WHOLE).to_bits() as u16
            }
            #[inline(always)]
            fn step_inside(self, high: Self, scale: Self) -> u16 {
                ((high - self) * scale + Self::WHOLE).to_bits() as u16
            }
            #[inline(always)]
            fn finer(scale: Self, other: Self) -> bool {
                scale > 4.0 * other
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
        fn steps_keep_the_order(scores in prop::collection::vec(score(), 2..9)) {
            let mut keys: Vec<i32> = scores.iter().map(|score| score.key()).collect();
            keys.sort_unstable_by(|a, b| b.cmp(a));
            let (high, low) = (f32::of(keys[0]), f32::of(keys[keys.len() - 1]));
            for last in [1, 254, 65_534] {
                if let Some(scale) = f32::scale(low, high, last) {
                    let steps: Vec<u16> = keys.iter().map(|&key| f32::of(key).step(high, scale, last)).collect();
                    prop_assert!(steps.is_sorted());
                    prop_assert_eq!((steps[0], steps[steps.len() - 1]), (0, last));
                    prop_assert_eq!(f32::INFINITY.step(high, scale, last), 0);
                    prop_assert_eq!(f32::NEG_INFINITY.step(high, scale, last), last);
                }
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
