//! What the benchmark's own scorer demands of every instance before it scores any, beyond [`crate::eraser::check`].

use crate::eraser::instance::{Field, Instance, Threshold};
use crate::eraser::json::Fault;

const CLASS: &str = "classification";
const FULL: &str = "classification_scores";
const REMOVE: &str = "comprehensiveness_classification_scores";
const KEEP: &str = "sufficiency_classification_scores";
const POINTS: &str = "thresholded_scores";

/// What the first instance makes it demand of all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Demands {
    /// The different thresholds of the first instance, ascending; none where it has no such field.
    thresholds: Option<Vec<f64>>,
}

impl Demands {
    /// What an instance that comes first demands.
    #[must_use]
    pub fn of(first: &Instance<'_>) -> Self {
        Self { thresholds: first.thresholded.given().map(|all| different(all)) }
    }

    /// Calls `fault` with each demand that an instance does not meet.
    pub fn check(&self, instance: &Instance<'_>, fault: &mut impl FnMut(Fault)) {
        let has = [
            (CLASS, instance.classification.has_key()),
            (FULL, instance.scores.has_key()),
            (REMOVE, instance.comprehensiveness.has_key()),
            (KEEP, instance.sufficiency.has_key()),
            (POINTS, instance.thresholded.has_key()),
        ];
        let needs: &[(&str, &[&str])] = &[
            (CLASS, &[FULL]),
            (FULL, &[CLASS]),
            (REMOVE, &[CLASS]),
            (KEEP, &[FULL]),
            (POINTS, &[CLASS, FULL, REMOVE, KEEP]),
        ];
        let present = |name: &str| has.iter().any(|(field, there)| *field == name && *there);
        for (field, others) in needs.iter().filter(|(field, _)| present(field)) {
            for other in others.iter().filter(|other| !present(other)) {
                fault(Fault::new("nothing", format!("a value, as there is `{field}`")).within(other));
            }
        }
        nulls(instance, fault);
        self.points(instance, fault);
    }

    fn points(&self, instance: &Instance<'_>, fault: &mut impl FnMut(Fault)) {
        let mut wrong = |found: String, expected: String| fault(Fault::new(found, expected).within(POINTS));
        let ours = instance.thresholded.given().map(|all| different(all));
        if ours != self.thresholds {
            wrong(shown(ours.as_deref()), format!("{} as in the first instance", shown(self.thresholds.as_deref())));
        }
        for entry in instance.thresholded.given().into_iter().flatten() {
            for (field, name) in [(&entry.comprehensiveness, REMOVE), (&entry.sufficiency, KEEP)] {
                if !field.has_key() {
                    wrong(format!("no {name} at threshold {}", entry.threshold), "class scores".to_owned());
                }
            }
        }
    }
}

/// Null stands for nothing only where scores of sentences could be.
fn nulls(instance: &Instance<'_>, fault: &mut impl FnMut(Fault)) {
    let is_null = [
        (CLASS, instance.classification == Field::Null),
        (FULL, instance.scores == Field::Null),
        (REMOVE, instance.comprehensiveness == Field::Null),
        (KEEP, instance.sufficiency == Field::Null),
        (POINTS, instance.thresholded == Field::Null),
    ];
    for (name, _) in is_null.iter().filter(|(_, is_null)| *is_null) {
        fault(null().within(name));
    }
    for (i, rationale) in instance.rationales.iter().enumerate() {
        if rationale.soft == Field::Null {
            fault(null().within("soft_rationale_predictions").at(i).within("rationales"));
        }
    }
}

fn null() -> Fault {
    Fault::new("null", "a value, or no such field")
}

fn different(all: &[Threshold]) -> Vec<f64> {
    let mut found: Vec<f64> = all.iter().map(|entry| entry.threshold).collect();
    found.sort_by(f64::total_cmp);
    found.dedup();
    found
}

fn shown(thresholds: Option<&[f64]>) -> String {
    thresholds.map_or_else(|| "none".to_owned(), |all| format!("the thresholds {all:?}"))
}
