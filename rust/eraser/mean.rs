//! Means, and how counts and means of parts of the input are merged.

use serde::{Deserialize, Serialize};

/// What parts of the input add up to, and can be added to each other.
pub trait Merge {
    /// Adds what another part of the input adds up to.
    fn merge(&mut self, other: &Self);
}

impl Merge for u64 {
    fn merge(&mut self, other: &Self) {
        *self = self.saturating_add(*other);
    }
}

impl<T: Merge> Merge for [T] {
    fn merge(&mut self, other: &Self) {
        self.iter_mut().zip(other).for_each(|(ours, theirs)| ours.merge(theirs));
    }
}

/// Merges field by field.
macro_rules! merge {
    ($type:ty: $($field:tt)*) => {
        impl $crate::eraser::mean::Merge for $type {
            fn merge(&mut self, other: &Self) {
                $(self.$field.merge(&other.$field);)*
            }
        }
    };
}
pub(super) use merge;

/// A mean of float64 whose sum has twice their precision, so that it hardly rounds and the way a file is cut into blocks
/// does not show. Infinities and NaN add as usual.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    high: f64,
    low: f64,
    count: u64,
}

impl Mean {
    /// Adds a number.
    pub fn add(&mut self, number: f64) {
        self.count += 1;
        self.add_part(number);
    }

    fn add_part(&mut self, number: f64) {
        let high = self.high + number;
        if !high.is_finite() {
            (self.high, self.low) = (high, 0.0);
            return;
        }
        // What rounding took from the sum (Knuth's two-sum), exact for any order of sizes.
        let part = high - self.high;
        self.low += (self.high - (high - part)) + (number - part);
        self.high = high;
    }

    /// The mean; NaN of no number.
    pub fn value(self) -> f64 {
        if self.count == 0 { f64::NAN } else { (self.high + self.low) / self.count as f64 }
    }
}

impl Merge for Mean {
    fn merge(&mut self, other: &Self) {
        self.add_part(other.high);
        self.add_part(other.low);
        self.count += other.count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mean(numbers: &[f64]) -> Mean {
        let mut mean = Mean::default();
        for &x in numbers {
            mean.add(x);
        }
        mean
    }

    proptest! {
        #[test]
        fn cuts_change_no_bit(numbers in prop::collection::vec(-1.0..1.0_f64, 2..200), at in 1_usize..200) {
            let (a, b) = numbers.split_at(at.min(numbers.len()));
            let mut parts = mean(a);
            parts.merge(&mean(b));
            prop_assert_eq!(parts.value().to_bits(), mean(&numbers).value().to_bits());
        }
    }

    #[test]
    fn infinities_add_as_usual() {
        assert_eq!(mean(&[1.0, f64::INFINITY, 2.0]).value().to_bits(), f64::INFINITY.to_bits());
        assert!(mean(&[f64::INFINITY, f64::NEG_INFINITY]).value().is_nan());
        assert!(mean(&[]).value().is_nan());
    }
}
