//! What every line of results must be.

use crate::eraser::docs::{Docs, Lengths};
use crate::eraser::instance::{CLASS, FULL, HARD, Instance, PARTS, POINTS, Rationale, SENTENCES, SOFT};
use crate::eraser::json::Field;
use crate::eraser::spans;
use crate::problem::{Fault, Outcome};

/// What the first instance has, which decides what is scored.
#[derive(Debug, Clone)]
pub struct First {
    pub profile: Profile,
    /// The thresholds of its class scores, ascending; none = there is no such field.
    pub thresholds: Option<Vec<f64>>,
    /// Whether its first rationale has a hard span.
    pub hard: bool,
    pub tokens_to_flip: bool,
}

impl First {
    pub fn of(instance: &Instance<'_>) -> Self {
        Self {
            profile: Profile::of(instance),
            thresholds: thresholds(instance),
            hard: instance.rationales.first().is_some_and(|rationale| !rationale.spans().is_empty()),
            tokens_to_flip: instance.tokens_to_flip.has_key(),
        }
    }
}

/// What an instance has: all instances must have the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Profile {
    pub classification: bool,
    pub parts: [bool; 2],
    pub soft: bool,
    pub sentences: bool,
}

impl Profile {
    /// What an instance has.
    pub fn of(instance: &Instance<'_>) -> Self {
        let any = |field: for<'r> fn(&'r Rationale<'_>) -> &'r Field<Vec<f64>>| {
            instance.rationales.iter().any(|rationale| field(rationale).given().is_some())
        };
        Self {
            classification: instance.classification.given().is_some(),
            parts: [0, 1].map(|i| instance.parts[i].given().is_some()),
            soft: any(|rationale| &rationale.soft),
            sentences: any(|rationale| &rationale.sentences),
        }
    }

    fn named(self) -> [(bool, String); 5] {
        let [remove, keep] = self.parts;
        [
            (self.classification, CLASS.to_owned()),
            (remove, PARTS[0].to_owned()),
            (keep, PARTS[1].to_owned()),
            (self.soft, format!("rationales[].{SOFT}")),
            (self.sentences, format!("rationales[].{SENTENCES}")),
        ]
    }
}

/// Calls `fault` with each fault of an instance by itself, by its documents, and beside `first`, what the first
/// instance has (none where it cannot be read). Returns the lengths of the document of each rationale, 0 where there is
/// no such document.
pub fn instance(
    instance: &Instance<'_>,
    docs: &Docs,
    first: Option<Profile>,
    fault: &mut dyn FnMut(Fault),
) -> Vec<Lengths> {
    let ours = Profile::of(instance);
    let pairs = first.filter(|first| *first != ours).map(|first| ours.named().into_iter().zip(first.named()));
    for ((ours, field), (theirs, _)) in pairs.into_iter().flatten().filter(|((ours, _), (theirs, _))| ours != theirs) {
        let word = |has: bool| if has { "a value" } else { "none" };
        fault(Fault::new(word(ours), format!("{} as in the first instance", word(theirs))).within(&field));
    }
    let mut lengths = Vec::with_capacity(instance.rationales.len());
    for (i, rationale) in instance.rationales.iter().enumerate() {
        let fault = &mut |found: Fault| fault(found.at(i).within("rationales"));
        match docs.lengths(rationale.docid) {
            Ok(found) => {
                predictions(rationale, found, ours, fault);
                lengths.push(found);
            }
            Err(found) => {
                fault(found.within("docid"));
                lengths.push(Lengths::default());
            }
        }
    }
    lengths
}

/// Checks the predictions for a document.
fn predictions(rationale: &Rationale<'_>, lengths: Lengths, ours: Profile, fault: &mut dyn FnMut(Fault)) {
    if rationale.hard == Field::Null {
        fault(Fault::new("null", "a list of spans").within(HARD));
    }
    let tokens = i64::from(lengths.tokens);
    for (i, span) in rationale.spans().iter().enumerate() {
        if span.start > tokens || span.end > tokens {
            let expected = format!("positions up to {tokens}, the tokens of the document");
            fault(Fault::new(span.to_string(), expected).at(i).within(HARD));
        }
    }
    let mut sorted = rationale.spans().to_vec();
    spans::sort(&mut sorted);
    if let Some((a, b)) = spans::overlap(&sorted) {
        fault(Fault::new(format!("{a} and {b}"), "spans that do not overlap").within(HARD));
    }
    for (field, name, unit, length, others) in [
        (&rationale.soft, SOFT, "token", lengths.tokens, ours.soft),
        (&rationale.sentences, SENTENCES, "sentence", lengths.sentences, ours.sentences),
    ] {
        let found = match field.given() {
            Some(found) => scores(found, unit, length as usize),
            None if others => Err(Fault::new("none", "scores as for the instance's other documents")),
            None => Ok(()),
        };
        found.unwrap_or_else(|found| fault(found.within(name)));
    }
}

/// A fault if there are not as many scores as there are tokens or sentences, or one is not finite.
fn scores(scores: &[f64], unit: &str, length: usize) -> Outcome<()> {
    if length == 0 {
        return Err(Fault::new("an empty document", format!("at least one {unit}")));
    }
    if scores.len() != length {
        return Err(Fault::new(format!("{} scores", scores.len()), format!("{length} (one a {unit})")));
    }
    match scores.iter().enumerate().find(|(_, score)| !score.is_finite()) {
        Some((at, score)) => Err(Fault::new(format!("{score:?}"), "a finite number").at(at)),
        None => Ok(()),
    }
}

/// Calls `fault` with what the benchmark's own scorer demands of every instance before it scores any, beyond
/// [`instance`].
pub fn demands(instance: &Instance<'_>, first: &First, fault: &mut dyn FnMut(Fault)) {
    let [remove, keep] = &instance.parts;
    // Each field, whether it is there and null, and the fields that it needs.
    let fields = [
        (CLASS, instance.classification.state(), &[1][..]),
        (FULL, instance.scores.state(), &[0]),
        (PARTS[0], remove.state(), &[0]),
        (PARTS[1], keep.state(), &[1]),
        (POINTS, instance.thresholded.state(), &[0, 1, 2, 3]),
    ];
    for (field, _, others) in fields.iter().filter(|(_, (is_there, _), _)| *is_there) {
        for (other, ..) in others.iter().map(|&other| fields[other]).filter(|(_, (is_there, _), _)| !is_there) {
            fault(Fault::new("nothing", format!("a value, as there is `{field}`")).within(other));
        }
    }
    // Null stands for nothing only where scores of sentences could be.
    let null = || Fault::new("null", "a value, or no such field");
    fields.iter().filter(|(_, (_, is_null), _)| *is_null).for_each(|(name, ..)| fault(null().within(name)));
    for (i, _) in instance.rationales.iter().enumerate().filter(|(_, rationale)| rationale.soft == Field::Null) {
        fault(null().within(SOFT).at(i).within("rationales"));
    }
    let all = [&thresholds(instance), &first.thresholds];
    if all[0] != all[1] {
        let [found, expected] = all.map(|all| match all {
            Some(all) => format!("the thresholds {all:?}"),
            None => "none".to_owned(),
        });
        fault(Fault::new(found, format!("{expected} as in the first instance")).within(POINTS));
    }
    for entry in instance.points() {
        for (_, name) in entry.parts.iter().zip(PARTS).filter(|(field, _)| !field.has_key()) {
            fault(Fault::new(format!("no {name} at threshold {}", entry.threshold), "class scores").within(POINTS));
        }
    }
}

/// The different thresholds of an instance, ascending; none where it has no such field.
fn thresholds(instance: &Instance<'_>) -> Option<Vec<f64>> {
    let mut found: Vec<f64> = instance.thresholded.given()?.iter().map(|entry| entry.threshold).collect();
    found.sort_by(f64::total_cmp);
    found.dedup();
    Some(found)
}
