//! What every line of results must be, whichever conventions it is scored by.

use crate::eraser::docs::{Docs, Lengths};
use crate::eraser::instance::{Instance, Rationale};
use crate::eraser::json::{Fault, Outcome};
use crate::eraser::spans::{self, Span};

/// What an instance has: all instances must have the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
pub struct Profile {
    /// Has `classification`.
    pub classification: bool,
    /// Has `comprehensiveness_classification_scores`.
    pub comprehensiveness: bool,
    /// Has `sufficiency_classification_scores`.
    pub sufficiency: bool,
    /// Has `soft_rationale_predictions`.
    pub soft: bool,
    /// Has `soft_sentence_predictions`.
    pub sentences: bool,
}

impl Profile {
    /// What an instance has.
    #[must_use]
    pub fn of(instance: &Instance<'_>) -> Self {
        let (soft, sentences) = instance.has_soft();
        Self {
            classification: instance.classification.given().is_some(),
            comprehensiveness: instance.comprehensiveness.given().is_some(),
            sufficiency: instance.sufficiency.given().is_some(),
            soft,
            sentences,
        }
    }

    /// A fault for each field that only some instances have.
    fn compare(self, first: Self, fault: &mut impl FnMut(Fault)) {
        for (ours, theirs, field) in [
            (self.classification, first.classification, "classification"),
            (self.comprehensiveness, first.comprehensiveness, "comprehensiveness_classification_scores"),
            (self.sufficiency, first.sufficiency, "sufficiency_classification_scores"),
            (self.soft, first.soft, "rationales[].soft_rationale_predictions"),
            (self.sentences, first.sentences, "rationales[].soft_sentence_predictions"),
        ] {
            if ours != theirs {
                let word = |has: bool| if has { "a value" } else { "none" };
                fault(Fault::new(word(ours), format!("{} as in the first instance", word(theirs))).within(field));
            }
        }
    }
}

/// Checks instances against the documents and against the first of them.
#[derive(Debug, Clone, Copy)]
pub struct Checker<'c> {
    /// The documents.
    pub docs: &'c Docs,
    /// What the first instance has; none where it cannot be read.
    pub first: Option<Profile>,
}

impl Checker<'_> {
    /// Calls `fault` with each fault of an instance. `lengths` gets those of the document of each rationale, none
    /// where there is no such document.
    pub fn instance(
        &self,
        instance: &Instance<'_>,
        lengths: &mut Vec<Option<Lengths>>,
        scratch: &mut Vec<Span>,
        fault: &mut impl FnMut(Fault),
    ) {
        let ours = Profile::of(instance);
        if let Some(first) = self.first {
            ours.compare(first, fault);
        }
        lengths.clear();
        for (i, rationale) in instance.rationales.iter().enumerate() {
            lengths.push(self.rationale(instance, rationale, ours, scratch, &mut |found| {
                fault(found.at(i).within("rationales"));
            }));
        }
    }

    /// Checks the predictions for a document; returns its lengths, if there is such a document.
    fn rationale(
        &self,
        instance: &Instance<'_>,
        rationale: &Rationale<'_>,
        ours: Profile,
        sorted: &mut Vec<Span>,
        fault: &mut impl FnMut(Fault),
    ) -> Option<Lengths> {
        let lengths = match self.docs.lengths(&rationale.docid) {
            Ok(lengths) => lengths,
            Err(found) => {
                fault(found.within("docid"));
                return None;
            }
        };
        let within = |found: Fault| found.within("hard_rationale_predictions");
        if rationale.hard.has_key() && rationale.hard.given().is_none() {
            fault(within(Fault::new("null", "a list of spans")));
        }
        let tokens = lengths.tokens as i64;
        for (i, span) in instance.hard(rationale).iter().enumerate() {
            if span.start > tokens || span.end > tokens {
                let (found, expected) = (shown(*span), format!("positions up to {tokens}, the tokens of the document"));
                fault(within(Fault::new(found, expected).at(i)));
            }
        }
        sorted.clear();
        sorted.extend_from_slice(instance.hard(rationale));
        spans::sort(sorted);
        if let Some((a, b)) = spans::overlap(sorted) {
            let found = format!("{} and {}", shown(a), shown(b));
            fault(within(Fault::new(found, "spans that do not overlap")));
        }
        for (field, name, unit, length, others) in [
            (&rationale.soft, "soft_rationale_predictions", "token", lengths.tokens, ours.soft),
            (&rationale.sentences, "soft_sentence_predictions", "sentence", lengths.sentences, ours.sentences),
        ] {
            match field.given() {
                Some(range) => {
                    if let Err(found) = check_scores(instance.scores_in(range), unit, length) {
                        fault(found.within(name));
                    }
                }
                None if others => {
                    fault(Fault::new("none", "scores as for the instance's other documents").within(name));
                }
                None => {}
            }
        }
        Some(lengths)
    }
}

/// A fault if there are not as many scores as there are tokens or sentences, or one is not finite.
fn check_scores(scores: &[f64], unit: &str, length: usize) -> Outcome<()> {
    if length == 0 {
        return Err(Fault::new("an empty document", format!("at least one {unit}")));
    }
    if scores.len() != length {
        return Err(Fault::new(format!("{} scores", scores.len()), format!("{length} (one a {unit})")));
    }
    match scores.iter().position(|score| !score.is_finite()) {
        Some(at) => {
            Err(Fault::new(format!("{:?}", scores.get(at).copied().unwrap_or_default()), "a finite number").at(at))
        }
        None => Ok(()),
    }
}

fn shown(span: Span) -> String {
    format!("[{}, {})", span.start, span.end)
}
