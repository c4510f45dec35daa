//! Class scores: what they lose without the rationale, and how far they shift.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::eraser::instance::{Field, Instance, Threshold};
use crate::eraser::json::{Fault, Outcome};
use crate::eraser::sum::Sum;

const COMPREHENSIVENESS: &str = "comprehensiveness_classification_scores";
const SUFFICIENCY: &str = "sufficiency_classification_scores";

type Scores<'s, 'a> = &'s [(Cow<'a, str>, f64)];

/// What is to be computed: the fields that the first instance has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Comprehensiveness.
    pub comprehensiveness: bool,
    /// Sufficiency.
    pub sufficiency: bool,
    /// Both at several thresholds.
    pub thresholded: bool,
}

/// Sums over instances for class scores with one part of the input.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// What the predicted class loses.
    pub drop: Sum,
    /// Entropy on the whole input minus entropy on the part.
    pub entropy: Sum,
    /// Kullback-Leibler divergence of the part from the whole.
    pub kl: Sum,
    /// What the predicted class loses at each threshold, in ascending order.
    pub points: Vec<Sum>,
}

impl Shift {
    fn new(thresholds: usize) -> Self {
        Self { points: vec![Sum::default(); thresholds], ..Self::default() }
    }

    fn merge(&mut self, other: &Self) {
        self.drop.merge(other.drop);
        self.entropy.merge(other.entropy);
        self.kl.merge(other.kl);
        self.points.iter_mut().zip(&other.points).for_each(|(ours, theirs)| ours.merge(*theirs));
    }

    fn add(&mut self, full: Scores<'_, '_>, whole: f64, part: Scores<'_, '_>, class: &str) -> Outcome<()> {
        self.drop.add(whole - score(part, class)?);
        self.entropy.add(entropy(full) - entropy(part));
        self.kl.add(divergence(part, full)?);
        Ok(())
    }
}

/// Sums over instances of all that class scores give.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassSums {
    /// Without the rationale.
    pub comprehensiveness: Shift,
    /// The rationale alone.
    pub sufficiency: Shift,
}

impl ClassSums {
    /// Nothing yet, for so many thresholds.
    #[must_use]
    pub fn new(thresholds: usize) -> Self {
        Self { comprehensiveness: Shift::new(thresholds), sufficiency: Shift::new(thresholds) }
    }

    /// Whether another was made for as many thresholds.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let points = |sums: &Self| (sums.comprehensiveness.points.len(), sums.sufficiency.points.len());
        points(self) == points(other)
    }

    /// Adds what another part of the input adds up to.
    pub fn merge(&mut self, other: &Self) {
        self.comprehensiveness.merge(&other.comprehensiveness);
        self.sufficiency.merge(&other.sufficiency);
    }

    /// Adds an instance. `thresholds` are those to pick; without them any are taken, only to check them.
    pub fn add(&mut self, wanted: Wanted, instance: &Instance<'_>, thresholds: Option<&[f64]>) -> Outcome<()> {
        if !(wanted.comprehensiveness || wanted.sufficiency || wanted.thresholded) {
            return Ok(());
        }
        let class = instance.classification.given().map_or("", |class| class.as_ref());
        let scores_of = |field, name: &str| distribution(instance, field).map_err(|fault: Fault| fault.within(name));
        let full = scores_of(&instance.scores, "classification_scores")?;
        let whole = score(full, class).map_err(|fault| fault.within("classification_scores"))?;
        for (is_wanted, field, name, sums) in [
            (wanted.comprehensiveness, &instance.comprehensiveness, COMPREHENSIVENESS, &mut self.comprehensiveness),
            (wanted.sufficiency, &instance.sufficiency, SUFFICIENCY, &mut self.sufficiency),
        ] {
            if is_wanted {
                sums.add(full, whole, scores_of(field, name)?, class).map_err(|fault| fault.within(name))?;
            }
        }
        if wanted.thresholded {
            self.add_points(instance, whole, class, thresholds).map_err(|fault| fault.within("thresholded_scores"))?;
        }
        Ok(())
    }

    fn add_points(
        &mut self,
        instance: &Instance<'_>,
        whole: f64,
        class: &str,
        thresholds: Option<&[f64]>,
    ) -> Outcome<()> {
        let Some(all) = instance.thresholded.given() else { return Err(Fault::new("nothing", "a list of scores")) };
        let picked = pick(all, thresholds)?;
        for (at, threshold) in picked.iter().enumerate() {
            for (field, name, sums) in [
                (&threshold.comprehensiveness, COMPREHENSIVENESS, &mut self.comprehensiveness),
                (&threshold.sufficiency, SUFFICIENCY, &mut self.sufficiency),
            ] {
                let part = distribution(instance, field).and_then(|scores| score(scores, class));
                let part =
                    part.map_err(|fault| fault.within(name).within(&format!("[threshold {}]", threshold.threshold)))?;
                if let Some(sum) = sums.points.get_mut(at) {
                    sum.add(whole - part);
                }
            }
        }
        Ok(())
    }
}

/// The entries whose threshold is asked for, ascending.
fn pick<'t>(all: &'t [Threshold], thresholds: Option<&[f64]>) -> Outcome<Vec<&'t Threshold>> {
    let Some(thresholds) = thresholds else { return Ok(all.iter().collect()) };
    let mut picked: Vec<_> = all.iter().filter(|entry| thresholds.contains(&entry.threshold)).collect();
    if picked.len() != thresholds.len() {
        let found: Vec<_> = all.iter().map(|entry| entry.threshold).collect();
        return Err(Fault::new(format!("thresholds {found:?}"), format!("each of {thresholds:?} once")));
    }
    picked.sort_by(|a, b| a.threshold.total_cmp(&b.threshold));
    Ok(picked)
}

fn distribution<'s, 'a>(instance: &'s Instance<'a>, field: &Field<std::ops::Range<usize>>) -> Outcome<Scores<'s, 'a>> {
    let expected = "class scores";
    match field {
        Field::Given(range) => Ok(instance.distribution_in(range)),
        Field::Null => Err(Fault::new("null", expected)),
        Field::Missing => Err(Fault::new("nothing", expected)),
    }
}

fn score(scores: Scores<'_, '_>, class: &str) -> Outcome<f64> {
    scores.iter().find(|(name, _)| name == class).map(|(_, score)| *score).ok_or_else(|| no_score(class))
}

fn no_score(class: &str) -> Fault {
    Fault::new("no score", format!("one for the class {class:?}"))
}

/// Entropy in nats of scores divided by their sum: NaN if all are zero, -inf if one is negative after that.
fn entropy(scores: Scores<'_, '_>) -> f64 {
    let sum: f64 = scores.iter().map(|(_, x)| x).sum();
    scores
        .iter()
        .map(|(_, x)| x / sum)
        .map(|p| match p {
            p if p > 0.0 => -p * p.ln(),
            p if p < 0.0 => f64::NEG_INFINITY,
            p => p.abs(),
        })
        .sum()
}

/// Kullback-Leibler divergence in nats of `part` from `full`, over the classes of `full`, each divided by its sum.
fn divergence(part: Scores<'_, '_>, full: Scores<'_, '_>) -> Outcome<f64> {
    let mut lookup = HashMap::new();
    let mut pairs = Vec::with_capacity(full.len());
    for (at, (class, x)) in full.iter().enumerate() {
        // Both nearly always have the classes in the same order.
        let found = match part.get(at) {
            Some((name, y)) if name == class => Some(*y),
            _ => {
                if lookup.is_empty() {
                    lookup.extend(part.iter().map(|(name, y)| (name.as_ref(), *y)));
                }
                lookup.get(class.as_ref()).copied()
            }
        };
        pairs.push((found.ok_or_else(|| no_score(class))?, *x));
    }
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
