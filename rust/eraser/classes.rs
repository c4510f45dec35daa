//! Class scores: what they lose without the rationale, and how far they shift.

use serde::{Deserialize, Serialize};

use crate::eraser::check::First;
use crate::eraser::instance::{FULL, Instance, PARTS, POINTS, Scores, Threshold};
use crate::eraser::json::Field;
use crate::eraser::mean::{Mean, merge};
use crate::problem::{Fault, Outcome};

/// Means over instances for class scores with one part of the input.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// What the predicted class loses; the entropy on the whole input minus that on the part; the Kullback-Leibler
    /// divergence of the part from the whole.
    pub means: [Mean; 3],
    /// What the predicted class loses at each threshold, in ascending order.
    pub points: Vec<Mean>,
}

merge!(Shift: means points);

/// Adds an instance: what is wanted with each of `PARTS`, and at thresholds. `thresholds` are those to pick; without
/// them any are taken, only to check them.
pub fn add(shifts: &mut [Shift; 2], first: &First, instance: &Instance<'_>, thresholds: Option<&[f64]>) -> Outcome<()> {
    let wanted = first.profile.parts;
    if wanted == [false; 2] && first.thresholds.is_none() {
        return Ok(());
    }
    let class = instance.classification.given().copied().unwrap_or_default();
    let full = given(&instance.scores).map_err(|fault| fault.within(FULL))?;
    let whole = score(full, class).map_err(|fault| fault.within(FULL))?;
    for (i, (part, name)) in instance.parts.iter().zip(PARTS).enumerate().filter(|(i, _)| wanted[*i]) {
        let numbers = |part: &Scores<'_>| {
            Ok([whole - score(part, class)?, entropy(full) - entropy(part), divergence(part, full)?])
        };
        let numbers = given(part).and_then(numbers).map_err(|fault| fault.within(name))?;
        shifts[i].means.iter_mut().zip(numbers).for_each(|(mean, number)| mean.add(number));
    }
    if first.thresholds.is_none() {
        return Ok(());
    }
    let loss = |part: &Field<Scores<'_>>| given(part).and_then(|scores| Ok(whole - score(scores, class)?));
    add_points(shifts, instance, thresholds, loss).map_err(|fault| fault.within(POINTS))
}

fn add_points(
    shifts: &mut [Shift; 2],
    instance: &Instance<'_>,
    thresholds: Option<&[f64]>,
    loss: impl Fn(&Field<Scores<'_>>) -> Outcome<f64>,
) -> Outcome<()> {
    if instance.thresholded.given().is_none() {
        return Err(Fault::new("nothing", "a list of scores"));
    }
    for (at, entry) in pick(instance.points(), thresholds)?.into_iter().enumerate() {
        for ((part, name), shift) in entry.parts.iter().zip(PARTS).zip(&mut *shifts) {
            let place = || format!("[threshold {}]", entry.threshold);
            let drop = loss(part).map_err(|fault| fault.within(name).within(&place()))?;
            if let Some(mean) = shift.points.get_mut(at) {
                mean.add(drop);
            }
        }
    }
    Ok(())
}

/// The entries whose threshold is asked for, ascending.
fn pick<'t, 'v>(all: &'t [Threshold<'v>], thresholds: Option<&[f64]>) -> Outcome<Vec<&'t Threshold<'v>>> {
    let Some(thresholds) = thresholds else { return Ok(all.iter().collect()) };
    let mut picked: Vec<_> = all.iter().filter(|entry| thresholds.contains(&entry.threshold)).collect();
    if picked.len() != thresholds.len() {
        let found: Vec<_> = all.iter().map(|entry| entry.threshold).collect();
        return Err(Fault::new(format!("thresholds {found:?}"), format!("each of {thresholds:?} once")));
    }
    picked.sort_by(|a, b| a.threshold.total_cmp(&b.threshold));
    Ok(picked)
}

fn given<'s, 'v>(field: &'s Field<Scores<'v>>) -> Outcome<&'s Scores<'v>> {
    let found = if *field == Field::Null { "null" } else { "nothing" };
    field.given().ok_or_else(|| Fault::new(found, "class scores"))
}

fn score(scores: &Scores<'_>, class: &str) -> Outcome<f64> {
    scores.get(class).copied().ok_or_else(|| Fault::new("no score", format!("one for the class {class:?}")))
}

/// Entropy in nats of scores divided by their sum: NaN if all are zero, -inf if one is negative after that.
fn entropy(scores: &Scores<'_>) -> f64 {
    let sum: f64 = scores.values().sum();
    let terms = scores.values().map(|x| match x / sum {
        p if p > 0.0 => -p * p.ln(),
        p if p < 0.0 => f64::NEG_INFINITY,
        p => p.abs(),
    });
    terms.sum()
}

/// Kullback-Leibler divergence in nats of `part` from `full`, over the classes of `full`, each divided by its sum.
fn divergence(part: &Scores<'_>, full: &Scores<'_>) -> Outcome<f64> {
    let pairs = full.iter().map(|(class, y)| Ok((score(part, class)?, *y)));
    let pairs: Vec<(f64, f64)> = pairs.collect::<Outcome<_>>()?;
    let (part, full) = pairs.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
    Ok(pairs.iter().map(|(x, y)| relative(x / part, y / full)).sum())
}

/// One term of the divergence.
fn relative(p: f64, q: f64) -> f64 {
    if p.is_nan() || q.is_nan() {
        f64::NAN
    } else if p > 0.0 && q > 0.0 {
        let ratio = p / q;
        // Beside the smallest numbers the ratio overflows or loses its digits.
        p * if ratio.is_normal() { ratio.ln() } else { p.ln() - q.ln() }
    } else if p == 0.0 && q >= 0.0 {
        0.0
    } else {
        f64::INFINITY
    }
}
