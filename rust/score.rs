//! Scores as things to be ranked: integers that sort like the floats, and buckets that keep their order.

// Called in loops that must be compiled for the units of their caller.
#![allow(clippy::inline_always)]

/// An integer that sorts like a score. Its smallest value belongs to no number, only to a NaN.
pub(crate) type Key = i32;

/// Below the key of every number, −∞ included: a position that cannot be selected.
pub(crate) const LOWEST: Key = Key::MIN;
/// Above the key of every number.
pub(crate) const HIGHEST: Key = Key::MAX;
/// Added to this, a number loses its fraction, and its integer is the low bits.
const WHOLE: f32 = 1.0 / f32::EPSILON;

/// The key of a score; 0.0 and −0.0 have the same one.
#[inline(always)]
pub(crate) fn key(score: f32) -> Key {
    let bits = score.to_bits() as Key;
    let bits = if bits == Key::MIN { 0 } else { bits };
    bits ^ ((bits >> (Key::BITS - 1)) & Key::MAX)
}

/// The score of a key.
#[inline(always)]
pub(crate) fn of(key: Key) -> f32 {
    f32::from_bits((key ^ ((key >> (Key::BITS - 1)) & Key::MAX)) as u32)
}

/// What to multiply distances from the score of `high` with to get steps from 0 to `last`; none if these are not the
/// keys of two numbers at a finite distance.
#[inline(always)]
pub(crate) fn scale(low: Key, high: Key, last: u16) -> Option<f32> {
    if low >= high || low == LOWEST || high == HIGHEST {
        return None;
    }
    let scale = f32::from(last) / (of(high) - of(low));
    (scale.is_finite() && scale > 0.0).then_some(scale)
}

/// The step of a score, from 0 = that of `high` and above to `last` = that of the lowest and below: never higher for a
/// higher score. Anything for a NaN.
#[inline(always)]
pub(crate) fn step(score: f32, high: f32, scale: f32, last: u16) -> u16 {
    let (steps, last) = ((high - score) * scale, f32::from(last));
    // Not `max` and `min`, which are slower, for they ask for NaN.
    let steps = if steps > 0.0 { steps } else { 0.0 };
    let steps = if steps < last { steps } else { last };
    (steps + WHOLE).to_bits() as u16
}

/// The same for a score that is no higher than `high` and no lower than the lowest.
#[inline(always)]
pub(crate) fn step_inside(score: f32, high: f32, scale: f32) -> u16 {
    ((high - score) * scale + WHOLE).to_bits() as u16
}

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
            let mut keys: Vec<Key> = scores.iter().map(|&score| key(score)).collect();
            keys.sort_unstable_by(|a, b| b.cmp(a));
            let (highest, lowest) = (keys[0], keys[keys.len() - 1]);
            let high = of(highest);
            for last in [1, 254, 65_534] {
                if let Some(scale) = scale(lowest, highest, last) {
                    let steps: Vec<u16> = keys.iter().map(|&key| step(of(key), high, scale, last)).collect();
                    prop_assert!(steps.is_sorted());
                    prop_assert_eq!((steps[0], steps[steps.len() - 1]), (0, last));
                    prop_assert_eq!(step(f32::INFINITY, high, scale, last), 0);
                    prop_assert_eq!(step(f32::NEG_INFINITY, high, scale, last), last);
                }
            }
        }

        #[test]
        fn keys_sort_like_floats(a in score(), b in score()) {
            prop_assert_eq!(Some(key(a).cmp(&key(b))), a.partial_cmp(&b));
            prop_assert!(key(a) > LOWEST);
        }
    }
}
