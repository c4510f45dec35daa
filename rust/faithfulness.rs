//! Faithfulness of a rationale, from probabilities on the full input and with the rationale kept or removed.
//!
//! One value per instance and fraction, row-major `[N, K]`. Undefined is NaN.

// p_full, p_keep, p_remove and p_null are the names of the definitions.
#![allow(clippy::similar_names)]

use crate::error::{Error, Result};
use crate::ragged::Ragged;

/// The probability of one class per row and fraction: row `i` of `probabilities` holds `n_fractions` blocks of equally
/// many classes, and `classes[i]` is the class.
pub fn class_probability(
    name: &'static str,
    probabilities: &Ragged<'_, f64>,
    classes: &[i64],
    n_fractions: usize,
) -> Result<Vec<f64>> {
    let other = "classes";
    if probabilities.len() != classes.len() {
        return Err(Error::LengthMismatch {
            name: other,
            found: classes.len(),
            other: name,
            expected: probabilities.len(),
        });
    }
    let mut picked = Vec::with_capacity(probabilities.room(n_fractions));
    for (row, &class) in classes.iter().enumerate() {
        let values = probabilities.row(row);
        check_probabilities(name, row, values)?;
        let width = block_width(name, row, values.len(), n_fractions)?;
        let class = position(row, other, class, width)?;
        picked.extend(values.iter().skip(class).step_by(width));
    }
    Ok(picked)
}

/// p(full) − p(remove); higher is better, in [−1, 1].
pub fn comprehensiveness(p_full: &[f64], p_remove: &[f64]) -> Result<Vec<f64>> {
    per_fraction("p_full", p_full, "p_remove", p_remove, |full, remove| full - remove)
}

/// p(full) − p(keep); lower is better, in [−1, 1].
pub fn sufficiency(p_full: &[f64], p_keep: &[f64]) -> Result<Vec<f64>> {
    per_fraction("p_full", p_full, "p_keep", p_keep, |full, keep| full - keep)
}

/// log p(remove) − log p(full); lower is better; undefined where either is 0.
pub fn log_odds(p_full: &[f64], p_remove: &[f64]) -> Result<Vec<f64>> {
    per_fraction("p_full", p_full, "p_remove", p_remove, |full, remove| {
        if full > 0.0 && remove > 0.0 { remove.ln() - full.ln() } else { f64::NAN }
    })
}

/// Comprehensiveness relative to removing everything (Carton et al. 2020); higher is better, in [0, 1]; undefined
/// where removing everything does not lower the probability.
pub fn normalised_comprehensiveness(p_full: &[f64], p_remove: &[f64], p_null: &[f64]) -> Result<Vec<f64>> {
    normalised(p_full, "p_remove", p_remove, p_null, |share| share)
}

/// One minus the sufficiency relative to removing everything (Carton et al. 2020); higher is better, in [0, 1];
/// undefined where removing everything does not lower the probability.
pub fn normalised_sufficiency(p_full: &[f64], p_keep: &[f64], p_null: &[f64]) -> Result<Vec<f64>> {
    normalised(p_full, "p_keep", p_keep, p_null, |share| 1.0 - share)
}

/// Whether the class with the highest probability, the first of equals, is another than `prediction`: 1 or 0 per row and
/// fraction. Row `i` of `perturbed` holds `n_fractions` blocks of equally many classes.
pub fn decision_flip(prediction: &[i64], perturbed: &Ragged<'_, f64>, n_fractions: usize) -> Result<Vec<f64>> {
    let name = "perturbed";
    if perturbed.len() != prediction.len() {
        let (found, expected) = (prediction.len(), perturbed.len());
        return Err(Error::LengthMismatch { name: "prediction", found, other: name, expected });
    }
    let mut out = Vec::with_capacity(perturbed.room(n_fractions));
    for (row, &class) in prediction.iter().enumerate() {
        let values = perturbed.row(row);
        check_probabilities(name, row, values)?;
        let width = block_width(name, row, values.len(), n_fractions)?;
        let class = position(row, "prediction", class, width)?;
        out.extend(values.chunks_exact(width).map(|block| if first_highest(block) == class { 0.0 } else { 1.0 }));
    }
    Ok(out)
}

/// The position of the highest value, the first of equals.
fn first_highest(values: &[f64]) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (i, &value) in values.iter().enumerate() {
        if value > best.1 {
            best = (i, value);
        }
    }
    best.0
}

/// A class as a position among `width` classes.
fn position(row: usize, name: &'static str, class: i64, width: usize) -> Result<usize> {
    usize::try_from(class).ok().filter(|&c| c < width).ok_or(Error::BadValue {
        row,
        name,
        index: 0,
        found: class as f64,
        expected: "the position of a class in the probabilities",
    })
}

/// Entropy of the full distribution minus that of the perturbed one, in nats; both are normalised to sum 1.
pub fn entropy_shift(full: &Ragged<'_, f64>, perturbed: &Ragged<'_, f64>, n_fractions: usize) -> Result<Vec<f64>> {
    per_distribution(full, perturbed, n_fractions, |full, perturbed| entropy(full) - entropy(perturbed))
}

/// KL(perturbed ‖ full) in nats, ≥ 0; both are normalised to sum 1; undefined (infinite) where the full distribution
/// gives 0 to a class to which the perturbed one does not.
pub fn kl_divergence(full: &Ragged<'_, f64>, perturbed: &Ragged<'_, f64>, n_fractions: usize) -> Result<Vec<f64>> {
    per_distribution(full, perturbed, n_fractions, divergence)
}

/// One value per row from its values at the fractions: their mean (ERASER, 2020), or their sum divided by one more than
/// there are (UNIREX, 2022). Undefined where one of them is.
pub fn aopc(values: &[f64], n_fractions: usize, sum_over_one_more: bool) -> Result<Vec<f64>> {
    at_least_one(n_fractions)?;
    let (found, expected) = (values.len(), values.len() / n_fractions * n_fractions);
    if found != expected {
        return Err(Error::LengthMismatch { name: "values", found, other: "rows times n_fractions", expected });
    }
    let divisor = n_fractions as f64 + f64::from(sum_over_one_more);
    Ok(values.chunks_exact(n_fractions).map(|row| row.iter().sum::<f64>() / divisor).collect())
}

fn at_least_one(n_fractions: usize) -> Result<()> {
    if n_fractions > 0 {
        return Ok(());
    }
    Err(Error::BadParameter { name: "n_fractions", found: "0".into(), expected: "at least 1" })
}

fn block_width(name: &'static str, row: usize, found: usize, n_fractions: usize) -> Result<usize> {
    at_least_one(n_fractions)?;
    let width = found / n_fractions;
    if width == 0 || width * n_fractions != found {
        let expected = width.max(1) * n_fractions;
        return Err(Error::RowLengthMismatch { row, name, found, other: "n_fractions times classes", expected });
    }
    Ok(width)
}

fn check_probabilities(name: &'static str, row: usize, values: &[f64]) -> Result<()> {
    match values.iter().enumerate().find(|(_, p)| !(0.0..=1.0).contains(*p)) {
        None => Ok(()),
        Some((index, &found)) => Err(Error::BadValue { row, name, index, found, expected: "a probability in [0, 1]" }),
    }
}

/// `f(full, perturbed)` for every row and fraction.
fn per_fraction(
    full_name: &'static str,
    full: &[f64],
    name: &'static str,
    perturbed: &[f64],
    f: impl Fn(f64, f64) -> f64,
) -> Result<Vec<f64>> {
    let n_fractions = if full.is_empty() { 1 } else { perturbed.len() / full.len() };
    let expected = n_fractions * full.len();
    if perturbed.len() != expected || n_fractions == 0 {
        let expected = expected.max(full.len());
        return Err(Error::LengthMismatch { name, found: perturbed.len(), other: full_name, expected });
    }
    let mut out = Vec::with_capacity(perturbed.len());
    for (row, (p, block)) in full.iter().zip(perturbed.chunks_exact(n_fractions)).enumerate() {
        check_probabilities(full_name, row, std::slice::from_ref(p))?;
        check_probabilities(name, row, block)?;
        out.extend(block.iter().map(|&q| f(*p, q)));
    }
    Ok(out)
}

fn normalised(
    p_full: &[f64],
    name: &'static str,
    perturbed: &[f64],
    p_null: &[f64],
    finish: impl Fn(f64) -> f64,
) -> Result<Vec<f64>> {
    if p_null.len() != p_full.len() {
        return Err(Error::LengthMismatch {
            name: "p_null",
            found: p_null.len(),
            other: "p_full",
            expected: p_full.len(),
        });
    }
    let mut out = per_fraction("p_full", p_full, name, perturbed, |full, p| (full - p).max(0.0))?;
    let null = per_fraction("p_full", p_full, "p_null", p_null, |full, p| (full - p).max(0.0))?;
    let n_fractions = if p_full.is_empty() { 1 } else { out.len() / p_full.len() };
    for (block, &most) in out.chunks_exact_mut(n_fractions).zip(&null) {
        for value in block {
            *value = if most > 0.0 { finish((*value / most).min(1.0)) } else { f64::NAN };
        }
    }
    Ok(out)
}

/// `f(full, perturbed)` on the distributions of every row and fraction.
fn per_distribution(
    full: &Ragged<'_, f64>,
    perturbed: &Ragged<'_, f64>,
    n_fractions: usize,
    f: impl Fn(&[f64], &[f64]) -> f64,
) -> Result<Vec<f64>> {
    perturbed.as_many_rows("perturbed", full.len(), "full")?;
    let mut out = Vec::with_capacity(perturbed.room(n_fractions));
    for row in 0..full.len() {
        let (p, blocks) = (full.row(row), perturbed.row(row));
        check_probabilities("full", row, p)?;
        check_probabilities("perturbed", row, blocks)?;
        let width = block_width("perturbed", row, blocks.len(), n_fractions)?;
        if width != p.len() {
            let (found, expected) = (blocks.len(), p.len().saturating_mul(n_fractions));
            return Err(Error::RowLengthMismatch { row, name: "perturbed", found, other: "full", expected });
        }
        out.extend(blocks.chunks_exact(width).map(|q| f(p, q)));
    }
    Ok(out)
}

fn entropy(p: &[f64]) -> f64 {
    let total: f64 = p.iter().sum();
    if total > 0.0 { -p.iter().map(|&x| x / total).map(x_log_x).sum::<f64>() } else { f64::NAN }
}

fn x_log_x(x: f64) -> f64 {
    if x > 0.0 { x * x.ln() } else { 0.0 }
}

fn divergence(full: &[f64], perturbed: &[f64]) -> f64 {
    let (total_full, total) = (full.iter().sum::<f64>(), perturbed.iter().sum::<f64>());
    if total_full <= 0.0 || total <= 0.0 {
        return f64::NAN;
    }
    let mut sum = 0.0;
    for (&q, &p) in full.iter().zip(perturbed) {
        let (q, p) = (q / total_full, p / total);
        if p > 0.0 {
            if q <= 0.0 {
                return f64::NAN;
            }
            // Not ln(p / q), which overflows for tiny q.
            sum += p * (p.ln() - q.ln());
        }
    }
    // Rounding may leave a difference of equals a hair below zero.
    sum.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hand_worked() -> Result<()> {
        let (full, remove, null) = ([0.9, 0.5], [0.8, 0.3, 0.5, 0.7], [0.1, 0.5]);
        assert_eq!(comprehensiveness(&full, &remove)?, [0.9 - 0.8, 0.9 - 0.3, 0.0, 0.5 - 0.7]);
        let share = normalised_comprehensiveness(&full, &remove, &null)?;
        assert!((share[1] - 0.75).abs() < 1e-15 && share[2].is_nan() && share[3].is_nan());
        assert_eq!(aopc(&[1.0, 2.0, 3.0, 5.0], 2, false)?, [1.5, 4.0]);
        assert_eq!(aopc(&[1.0, 2.0], 2, true)?, [1.0]);
        Ok(())
    }

    #[test]
    fn picks_the_class_at_each_fraction() -> Result<()> {
        let values = [0.1, 0.9, 0.2, 0.8, 0.3, 0.7];
        let rows = Ragged::new("p", &values, &[0, 4, 6])?;
        assert_eq!(class_probability("p", &rows, &[1, 0], 1)?, [0.9, 0.3]);
        let one = Ragged::new("p", &values[..4], &[0, 4])?;
        assert_eq!(class_probability("p", &one, &[1], 2)?, [0.9, 0.8]);
        assert!(class_probability("p", &one, &[2], 2).is_err());
        assert!(class_probability("p", &one, &[-1], 2).is_err());
        assert!(class_probability("p", &one, &[0], 3).is_err());
        Ok(())
    }

    #[test]
    fn a_decision_flips_where_another_class_comes_first() -> Result<()> {
        let rows = Ragged::new(
            "p",
            &[0.6, 0.4, 0.4, 0.6, 0.5, 0.5, 0.1, 0.7, 0.2, 0.3, 0.3, 0.4, 0.4, 0.2, 0.4],
            &[0, 6, 15],
        )?;
        assert_eq!(decision_flip(&[0, 1], &rows, 3)?, [0.0, 1.0, 0.0, 0.0, 1.0, 1.0]);
        // The first of equals is the prediction, so one that comes later has flipped.
        assert_eq!(decision_flip(&[1, 2], &rows, 3)?, [1.0, 0.0, 1.0, 1.0, 0.0, 1.0]);
        for bad in [-1, 2] {
            let said = decision_flip(&[bad, 0], &rows, 3).err().map(|e| e.to_string());
            let expected =
                format!("row 0: prediction[0] is {bad}, expected the position of a class in the probabilities");
            assert_eq!(said, Some(expected));
        }
        assert!(decision_flip(&[0], &rows, 3).is_err());
        assert!(decision_flip(&[0, 0], &rows, 4).is_err());
        assert!(decision_flip(&[0, 0], &rows, 0).is_err());
        assert!(decision_flip(&[0], &Ragged::new("p", &[0.5, f64::NAN], &[0, 2])?, 1).is_err());
        Ok(())
    }

    #[test]
    fn log_odds_sufficiency_and_distributions_by_hand() -> Result<()> {
        let close = |found: &[f64], expected: &[f64]| {
            found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-14)
        };
        let two = 2.0_f64.ln();
        assert!(close(&log_odds(&[0.5, 1.0], &[0.25, 0.5, 0.5, 1.0])?, &[-two, 0.0, -two, 0.0]));
        assert_eq!(sufficiency(&[0.75, 1.0], &[0.5, 1.0])?, [0.25, 0.0]);
        assert_eq!(normalised_sufficiency(&[0.75, 0.75], &[0.5, 0.75, 0.25, 1.0], &[0.25, 0.5])?, [0.5, 1.0, 0.0, 1.0]);
        // Of these 0.5 and 0.5, and 0.25 and 0.75, are a half.
        let full = Ragged::new("full", &[0.25, 0.25, 0.2, 0.6], &[0, 2, 4])?;
        let other = Ragged::new("perturbed", &[0.125, 0.375, 0.0, 0.5, 0.5, 0.5, 0.25, 0.75], &[0, 4, 8])?;
        let quarter = two * 2.0 - 0.75 * 3.0_f64.ln();
        let shift = entropy_shift(&full, &other, 2)?;
        assert!(close(&shift, &[two - quarter, two, quarter - two, 0.0]), "{shift:?}");
        let kl = kl_divergence(&full, &other, 2)?;
        assert!(close(&kl, &[two - quarter, two, two - 0.5 * 3.0_f64.ln(), 0.0]), "{kl:?}");
        Ok(())
    }

    #[test]
    fn a_distribution_of_zeros_has_no_entropy() -> Result<()> {
        let (zeros, some) = (Ragged::new("a", &[0.0, 0.0], &[0, 2])?, Ragged::new("b", &[0.5, 0.5], &[0, 2])?);
        for (full, perturbed) in [(&zeros, &some), (&some, &zeros)] {
            assert!(entropy_shift(full, perturbed, 1)?[0].is_nan());
            assert!(kl_divergence(full, perturbed, 1)?[0].is_nan());
        }
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_named() -> Result<()> {
        let said = |outcome: Result<Vec<f64>>| outcome.err().map(|e| e.to_string()).unwrap_or_default();
        assert_eq!(said(comprehensiveness(&[0.5, 0.5], &[0.5])), "p_remove has length 1, expected 2 (as p_full)");
        assert_eq!(said(comprehensiveness(&[0.5, 0.5], &[0.5; 5])), "p_remove has length 5, expected 4 (as p_full)");
        assert!(comprehensiveness(&[], &[])?.is_empty() && normalised_sufficiency(&[], &[], &[])?.is_empty());
        assert!(normalised_sufficiency(&[0.5], &[0.5], &[]).is_err());
        assert!(aopc(&[1.0], 0, false).is_err());
        assert_eq!(said(aopc(&[1.0; 7], 2, false)), "values has length 7, expected 6 (as rows times n_fractions)");
        let (one, two) = (Ragged::new("p", &[0.5; 4], &[0, 4])?, Ragged::new("p", &[0.5; 5], &[0, 2, 5])?);
        assert!(class_probability("p", &one, &[0, 0], 1).is_err());
        assert!(class_probability("p", &one, &[0], 0).is_err());
        assert_eq!(
            said(class_probability("p", &one, &[0], 3)),
            "row 0: p has 4 values, expected 3 (as n_fractions times classes)"
        );
        assert_eq!(
            said(class_probability("p", &one, &[0], 5)),
            "row 0: p has 4 values, expected 5 (as n_fractions times classes)"
        );
        assert!(entropy_shift(&one, &two, 1).is_err());
        assert_eq!(said(entropy_shift(&one, &one, 2)), "row 0: perturbed has 4 values, expected 8 (as full)");
        Ok(())
    }

    #[test]
    fn refuses_what_is_no_probability() {
        for bad in [f64::NAN, -0.1, 1.5, f64::INFINITY] {
            assert!(comprehensiveness(&[0.5], &[bad]).is_err());
            assert!(sufficiency(&[bad], &[0.5]).is_err());
        }
        assert!(comprehensiveness(&[0.5, 0.5], &[0.5, 0.5, 0.5]).is_err());
        assert!(comprehensiveness(&[0.5], &[]).is_err());
    }

    #[test]
    fn log_odds_and_divergence_are_undefined_at_zero() -> Result<()> {
        assert!(log_odds(&[0.5], &[0.0])?[0].is_nan());
        assert!(log_odds(&[0.0], &[0.5])?[0].is_nan());
        let full = Ragged::new("full", &[1.0, 0.0], &[0, 2])?;
        let other = Ragged::new("perturbed", &[0.5, 0.5], &[0, 2])?;
        assert!(kl_divergence(&full, &other, 1)?[0].is_nan());
        assert!((kl_divergence(&other, &full, 1)?[0] - 2.0_f64.ln()).abs() < 1e-15);
        assert!((entropy_shift(&full, &other, 1)?[0] + 2.0_f64.ln()).abs() < 1e-15);
        Ok(())
    }

    proptest! {
        #[test]
        fn ranges_hold(rows in prop::collection::vec((0.0..=1.0, prop::collection::vec(0.0..=1.0, 3), 0.0..=1.0), 1..20)) {
            let full: Vec<f64> = rows.iter().map(|r| r.0).collect();
            let other: Vec<f64> = rows.iter().flat_map(|r| r.1.clone()).collect();
            let null: Vec<f64> = rows.iter().map(|r| r.2).collect();
            for value in comprehensiveness(&full, &other)? {
                prop_assert!((-1.0..=1.0).contains(&value));
            }
            let a = normalised_comprehensiveness(&full, &other, &null)?;
            let b = normalised_sufficiency(&full, &other, &null)?;
            for (a, b) in a.iter().zip(&b) {
                prop_assert!(a.is_nan() == b.is_nan());
                prop_assert!(a.is_nan() || ((0.0..=1.0).contains(a) && (a + b - 1.0).abs() < 1e-12));
            }
        }
    }
}
