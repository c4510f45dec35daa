//! Sums that hardly round, so that the way a file is cut into blocks does not show in the result.

use serde::{Deserialize, Serialize};

/// A sum of float64 kept in twice their precision. Infinities and NaN add as usual.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sum {
    high: f64,
    low: f64,
}

impl Sum {
    /// Adds a number.
    pub fn add(&mut self, number: f64) {
        let high = self.high + number;
        if !high.is_finite() {
            *self = Self { high, low: 0.0 };
            return;
        }
        // What rounding took from the sum (Knuth's two-sum), exact for any order of sizes.
        let part = high - self.high;
        self.low += (self.high - (high - part)) + (number - part);
        self.high = high;
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: Self) {
        self.add(other.high);
        self.add(other.low);
    }

    /// The sum divided by a count; NaN where the count is 0.
    pub fn mean(self, count: u64) -> f64 {
        if count == 0 { f64::NAN } else { (self.high + self.low) / count as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(numbers: &[f64]) -> Sum {
        let mut sum = Sum::default();
        for &x in numbers {
            sum.add(x);
        }
        sum
    }

    proptest! {
        #[test]
        fn cuts_change_no_bit(numbers in prop::collection::vec(-1.0..1.0_f64, 2..200), at in 1_usize..200) {
            let (a, b) = numbers.split_at(at.min(numbers.len()));
            let mut parts = sum(a);
            parts.merge(sum(b));
            prop_assert_eq!(parts.mean(1).to_bits(), sum(&numbers).mean(1).to_bits());
        }
    }

    #[test]
    fn infinities_add_as_usual() {
        assert_eq!(sum(&[1.0, f64::INFINITY, 2.0]).mean(3).to_bits(), f64::INFINITY.to_bits());
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).mean(2).is_nan());
        assert!(sum(&[]).mean(0).is_nan());
    }
}
