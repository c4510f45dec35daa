//! Normalized relative gain: where a method stands between the worst and the best of a set (Chan et al. 2022).

use crate::error::{Error, Result};
use crate::sums::n_rows;

/// Ends that are closer than this, relative to the larger, count as equal.
const EQUAL: f64 = 1e-12;

/// The worst and best value that a set of methods reaches, per column; NaN is left out, NaN if nothing is left.
///
/// `values` is `[methods, columns]`; only methods whose `counts[m]` is not 0 enter.
pub fn extremes(values: &[f64], counts: &[u8]) -> Result<(Vec<f64>, Vec<f64>)> {
    let columns = n_rows(values, counts.len())?;
    let (mut low, mut high) = (vec![f64::NAN; columns], vec![f64::NAN; columns]);
    for (row, _) in values.chunks_exact(columns.max(1)).zip(counts).filter(|(_, enters)| **enters != 0) {
        for ((&value, low), high) in row.iter().zip(&mut low).zip(&mut high) {
            // f64::min and max pass over a NaN.
            *low = low.min(value);
            *high = high.max(value);
        }
    }
    Ok((low, high))
}

/// `(z − low)/(high − low)`, or `(high − z)/(high − low)` where lower is better; 0.5 where high = low (to 1e-12, relatively).
///
/// `values` is `[methods, columns]`, `low` and `high` have one entry per column. A method that was not among those
/// that set the ends may fall outside [0, 1].
pub fn relative_gain(values: &[f64], low: &[f64], high: &[f64], lower_is_better: bool) -> Result<Vec<f64>> {
    if low.len() != high.len() {
        return Err(Error::LengthMismatch { name: "high", found: high.len(), other: "low", expected: low.len() });
    }
    n_rows(values, low.len())?;
    for (column, (&low, &high)) in low.iter().zip(high).enumerate() {
        let reversed = low - high > EQUAL * low.abs().max(high.abs());
        if reversed || low.is_infinite() || high.is_infinite() {
            let found = format!("{low} to {high} in column {column}");
            return Err(Error::BadParameter { name: "low and high", found, expected: "finite ends, the lower first" });
        }
    }
    let gain = |(&z, (&low, &high)): (&f64, (&f64, &f64))| {
        let range = high - low;
        // Means of equal values over different numbers of seeds may differ in the last bit.
        let equal = range <= EQUAL * low.abs().max(high.abs());
        match (equal && !z.is_nan(), lower_is_better) {
            (true, _) => 0.5,
            (false, false) => (z - low) / range,
            (false, true) => (high - z) / range,
        }
    };
    Ok(values.chunks_exact(low.len().max(1)).flat_map(|row| row.iter().zip(low.iter().zip(high)).map(gain)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn by_hand() -> Result<()> {
        let values = [1.0, 5.0, 3.0, 5.0, 9.0, f64::NAN];
        let (low, high) = extremes(&values, &[1, 2, 0])?;
        assert_eq!((low.as_slice(), high.as_slice()), (&[1.0, 5.0][..], &[3.0, 5.0][..]));
        assert_eq!(relative_gain(&values[..4], &low, &high, false)?, [0.0, 0.5, 1.0, 0.5]);
        assert_eq!(relative_gain(&values[..4], &low, &high, true)?, [1.0, 0.5, 0.0, 0.5]);
        assert!(relative_gain(&values[4..], &low, &high, false)?[1].is_nan());
        assert_eq!(relative_gain(&[0.3], &[0.1 + 0.2], &[0.3], false)?, [0.5]);
        assert_eq!(relative_gain(&[0.0], &[0.0], &[0.0], false)?, [0.5]);
        let big = 1e6;
        assert_eq!(relative_gain(&[-big, big], &[-big, big], &[-big + 5e-7, big + 5e-7], false)?, [0.5, 0.5]);
        assert_eq!(relative_gain(&[-big, big], &[-big, big], &[-big + 5e-6, big + 5e-6], false)?, [0.0, 0.0]);
        assert!(extremes(&[], &[])?.0.is_empty() && relative_gain(&[], &[], &[], false)?.is_empty());
        assert!(extremes(&values, &[1; 4]).is_err());
        assert!(relative_gain(&values, &low, &high[..1], true).is_err());
        for (low, high) in [(1.0, 0.0), (0.0, f64::INFINITY), (f64::NEG_INFINITY, 0.0)] {
            assert!(relative_gain(&[0.5], &[low], &[high], false).is_err());
        }
        assert!(relative_gain(&[0.5], &[f64::NAN], &[f64::NAN], false)?[0].is_nan());
        Ok(())
    }

    proptest! {
        #[test]
        fn inside_the_set_all_is_between_0_and_1(values in prop::collection::vec(-10.0..10.0, 1..20)) {
            let (low, high) = extremes(&values, &vec![1; values.len()])?;
            let up = relative_gain(&values, &low, &high, false)?;
            let down = relative_gain(&values, &low, &high, true)?;
            for (a, b) in up.iter().zip(&down) {
                prop_assert!((0.0..=1.0).contains(a) && (a + b - 1.0).abs() < 1e-12);
            }
        }
    }
}
