//! Scores in the reference scorer's structure and under its keys.
//!
//! An F1 is the whole number 0 where it is 0 because precision or recall is, except in a mean.

use indexmap::IndexSet;

use crate::eraser::classes::Shift;
use crate::eraser::hard::{Overlap, Prf};
use crate::eraser::mean::Mean;
use crate::eraser::request::{Blocks, Options};
use crate::eraser::tally::{ClassCounts, Ranks, Tally};

/// A number, or numbers by name.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// What was not asked for.
    Null,
    /// A whole number.
    Whole(i64),
    /// Any number, NaN and the infinities included.
    Number(f64),
    /// Several values.
    List(Vec<Value>),
    /// Values by name; of equal names the last counts.
    Object(Vec<(String, Value)>),
}

/// All scores.
pub fn scores(blocks: Blocks, tally: &Tally, classes: &IndexSet<String>, options: &Options) -> Value {
    let mut fields = Vec::new();
    if blocks.hard {
        let matched = options.iou_thresholds.iter().zip(tally.hard.matched());
        let rows = matched.map(|(threshold, [over_all, over_documents])| {
            let [micro, macro_] = [over_all, over_documents].map(|scores| prf(scores, false));
            object([("threshold", Value::Number(*threshold)), ("micro", micro), ("macro", macro_)])
        });
        fields.push(("iou_scores", Value::List(rows.collect())));
        fields.push(("rationale_prf", micro_macro(&tally.hard.spans)));
        fields.push(("token_prf", micro_macro(&tally.hard.tokens)));
    }
    if blocks.soft {
        fields.push(("token_soft_metrics", ranks(&tally.soft)));
    }
    if blocks.sentences {
        fields.push(("sentence_soft_metrics", ranks(&tally.sentences)));
    }
    if blocks.classes {
        fields.push(("classification_scores", class_scores(blocks, tally, classes, options)));
    }
    object(fields)
}

fn class_scores(blocks: Blocks, tally: &Tally, classes: &IndexSet<String>, options: &Options) -> Value {
    let sum = |count: fn(&ClassCounts) -> u64| tally.classes.iter().map(count).sum::<u64>() as f64;
    let accuracy = Value::Number(sum(|counts| counts.hits) / sum(|counts| counts.support));
    let wanted = |is_wanted: bool, value: Value| if is_wanted { value } else { Value::Null };
    let part =
        |i: usize, of: fn(&Shift) -> Mean| wanted(blocks.wanted.parts[i], Value::Number(of(&tally.means.0[i]).value()));
    let list = |numbers: &mut dyn Iterator<Item = f64>| {
        wanted(blocks.wanted.thresholded, Value::List(numbers.map(Value::Number).collect()))
    };
    let points = |i: usize| tally.means.0[i].points.iter().map(|point| point.value());
    let area = |i: usize| {
        let mean = points(i).sum::<f64>() / points(i).len() as f64;
        wanted(blocks.wanted.thresholded, Value::Number(mean))
    };
    object([
        ("accuracy", accuracy.clone()),
        ("prf", class_prf(&tally.classes, classes, accuracy)),
        ("comprehensiveness", part(0, |shift| shift.drop)),
        ("sufficiency", part(1, |shift| shift.drop)),
        ("comprehensiveness_entropy", part(0, |shift| shift.entropy)),
        ("comprehensiveness_kl", part(0, |shift| shift.kl)),
        ("sufficiency_entropy", part(1, |shift| shift.entropy)),
        ("sufficiency_kl", part(1, |shift| shift.kl)),
        ("aopc_thresholds", list(&mut options.aopc_thresholds.iter().flatten().copied())),
        ("comprehensiveness_aopc", area(0)),
        ("comprehensiveness_aopc_points", list(&mut points(0))),
        ("sufficiency_aopc", area(1)),
        ("sufficiency_aopc_points", list(&mut points(1))),
    ])
}

/// Precision, recall and F1 of each class and their means, 0 where they divide by zero.
fn class_prf(counts: &[ClassCounts], names: &IndexSet<String>, accuracy: Value) -> Value {
    let share = |part: u64, all: u64| if all == 0 { 0.0 } else { part as f64 / all as f64 };
    let scores = |c: &ClassCounts| {
        let f1 = share(2 * c.hits, c.predicted + c.support);
        [share(c.hits, c.predicted), share(c.hits, c.support), f1, c.support as f64]
    };
    let rows: Vec<[f64; 4]> = counts.iter().map(scores).collect();
    let support: f64 = rows.iter().map(|row| row[3]).sum();
    let mean = |weight: fn(&[f64; 4]) -> f64| {
        let all: f64 = rows.iter().map(weight).sum();
        let of = |at: usize| rows.iter().map(|row| row[at] * weight(row)).sum::<f64>() / all;
        [of(0), of(1), of(2), support]
    };
    let row =
        |row: [f64; 4]| object(["precision", "recall", "f1-score", "support"].into_iter().zip(row.map(Value::Number)));
    // A class may be called as one of the means: the later entry of that name is the one that is read.
    let classes = names.iter().map(String::as_str).zip(rows.iter().map(|r| row(*r)));
    object(classes.chain([
        ("accuracy", accuracy),
        ("macro avg", row(mean(|_| 1.0))),
        ("weighted avg", row(mean(|row| row[3]))),
    ]))
}

fn micro_macro(counts: &Overlap) -> Value {
    object([("instance_micro", prf(counts.over_all(), false)), ("instance_macro", prf(counts.over_documents(), true))])
}

fn prf(scores: Prf, is_mean: bool) -> Value {
    let f1 = if scores.f1 == 0.0 && !is_mean { Value::Whole(0) } else { Value::Number(scores.f1) };
    object([("p", Value::Number(scores.p)), ("r", Value::Number(scores.r)), ("f1", f1)])
}

fn ranks(ranks: &Ranks) -> Value {
    object([
        ("auprc", Value::Number(ranks.auprc.value())),
        ("average_precision", Value::Number(ranks.average_precision.value())),
        ("roc_auc_score", Value::Number(ranks.roc_auc.value())),
    ])
}

fn object<'n>(fields: impl IntoIterator<Item = (&'n str, Value)>) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
