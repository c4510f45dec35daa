//! How much a row of scores spreads over its units (Bhatt et al. 2020, "Evaluating and Aggregating Feature-based Model
//! Explanations", section 3): few units that say it all are easy to read.

use crate::ragged::Ragged;

/// The entropy of `|s_i| / Σ|s|` over the units of each row, in nats: 0 where one unit has all, `ln n` where `n` have
/// the same. Minus infinity is a unit that the model never saw and is left out. NaN where nothing is left, all scores
/// are 0, or one is NaN or infinite.
#[must_use]
pub fn complexity(scores: &Ragged<'_, f64>) -> Vec<f64> {
    (0..scores.len()).map(|row| of_row(scores.row(row))).collect()
}

fn of_row(scores: &[f64]) -> f64 {
    let seen = || scores.iter().filter(|&&score| score != f64::NEG_INFINITY).map(|score| score.abs());
    let highest = seen().fold(0.0, |highest: f64, size| if size > highest || size.is_nan() { size } else { highest });
    if !(highest > 0.0 && highest.is_finite()) {
        return f64::NAN;
    }
    // Shares of the highest: sums neither overflow nor vanish, and no term is below 0.
    let (mut total, mut terms) = (0.0, 0.0);
    for size in seen() {
        let share = size / highest;
        total += share;
        if share > 0.0 {
            terms -= share * share.ln();
        }
    }
    total.ln() + terms / total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use proptest::prelude::*;

    #[test]
    fn by_hand() -> Result<()> {
        let values = [1.0, -1.0, 3.0, 0.0, -2.0, 0.5, 0.25, -0.25, f64::NEG_INFINITY];
        let found = complexity(&Ragged::new("scores", &values, &[0, 2, 4, 4, 5, 9])?);
        let two = 2.0_f64.ln();
        // Of the last row the shares are 1/2, 1/4 and 1/4.
        assert_eq!(found[1].to_bits(), 0);
        assert!(found[2].is_nan());
        assert_eq!(found[3].to_bits(), 0);
        assert!((found[0] - two).abs() < 1e-15 && (found[4] - 1.5 * two).abs() < 1e-15, "{found:?}");
        Ok(())
    }

    #[test]
    fn undefined_where_there_are_no_shares() {
        let bad =
            [&[][..], &[0.0, -0.0], &[1.0, f64::NAN], &[f64::NAN, 1.0], &[1.0, f64::INFINITY], &[f64::NEG_INFINITY]];
        for scores in bad {
            assert!(of_row(scores).is_nan(), "{scores:?}");
        }
        assert_eq!(of_row(&[f64::NEG_INFINITY, -3.0, 0.0]).to_bits(), 0);
    }

    #[test]
    fn sizes_of_any_magnitude_have_shares() {
        for size in [f64::MAX, f64::MIN_POSITIVE, 5e-324] {
            assert!((of_row(&[size, -size, size]) - 3.0_f64.ln()).abs() < 1e-15);
        }
        assert!(of_row(&[f64::MAX, 5e-324]).abs() < 1e-300);
    }

    proptest! {
        #[test]
        fn between_0_and_the_logarithm_of_the_length(scores in prop::collection::vec(-1e3..1e3, 1..50), factor in 0.1..9.0) {
            let found = of_row(&scores);
            prop_assert!(found >= 0.0 && found <= (scores.len() as f64).ln() + 1e-12);
            let scaled: Vec<f64> = scores.iter().map(|score| -score * factor).collect();
            prop_assert!((of_row(&scaled) - found).abs() < 1e-12);
        }
    }
}
