//! Scores as JSON in the reference scorer's structure and under its keys.
//!
//! `NaN` and `Infinity` stand bare, as Python writes and reads them. An F1 is the whole number 0 where it is 0 because
//! precision or recall is, except in a mean.

use std::fmt::Write;

use crate::eraser::classes::Shift;
use crate::eraser::hard::{MicroMacro, Prf};
use crate::eraser::score::{Blocks, Options, Scored};
use crate::eraser::tally::{ClassCounts, Ranks, Tally};

/// The scores as the text of one JSON object.
#[must_use]
pub fn json(scored: &Scored<'_>) -> String {
    let Scored { options, blocks, tally, classes } = scored;
    let mut fields = Vec::new();
    if blocks.hard {
        let matched = options.iou_thresholds.iter().zip(tally.hard.matched());
        let rows = matched.map(|(threshold, found)| {
            object([
                ("threshold", number(*threshold)),
                ("micro", prf(found.micro_, false)),
                ("macro", prf(found.macro_, false)),
            ])
        });
        fields.push(("iou_scores", list(rows)));
        fields.push(("rationale_prf", micro_macro(tally.hard.spans())));
        fields.push(("token_prf", micro_macro(tally.hard.tokens())));
    }
    if blocks.soft {
        fields.push(("token_soft_metrics", ranks(&tally.soft)));
    }
    if blocks.sentences {
        fields.push(("sentence_soft_metrics", ranks(&tally.sentences)));
    }
    if blocks.classes {
        fields.push(("classification_scores", class_scores(*blocks, tally, classes, options)));
    }
    object(fields)
}

fn class_scores(blocks: Blocks, tally: &Tally, classes: &[String], options: &Options) -> String {
    let all: u64 = tally.classes.iter().map(|counts| counts.support).sum();
    let hits: u64 = tally.classes.iter().map(|counts| counts.hits).sum();
    let accuracy = number(hits as f64 / all as f64);
    let wanted = blocks.wanted;
    let (comprehensiveness, sufficiency) = (&tally.sums.comprehensiveness, &tally.sums.sufficiency);
    let n = tally.instances;
    let mean = |wanted: bool, sum: fn(&Shift) -> crate::eraser::sum::Sum, shift: &Shift| {
        if wanted { number(sum(shift).mean(n)) } else { null() }
    };
    let points =
        |shift: &Shift| if wanted.thresholded { list(shift.points.iter().map(|p| number(p.mean(n)))) } else { null() };
    let area = |shift: &Shift| {
        let sum: f64 = shift.points.iter().map(|point| point.mean(n)).sum();
        if wanted.thresholded { number(sum / shift.points.len() as f64) } else { null() }
    };
    let thresholds = options.aopc_thresholds.as_deref().unwrap_or_default().iter().map(|t| number(*t));
    object([
        ("accuracy", accuracy.clone()),
        ("prf", class_prf(&tally.classes, classes, &accuracy)),
        ("comprehensiveness", mean(wanted.comprehensiveness, |s| s.drop, comprehensiveness)),
        ("sufficiency", mean(wanted.sufficiency, |s| s.drop, sufficiency)),
        ("comprehensiveness_entropy", mean(wanted.comprehensiveness, |s| s.entropy, comprehensiveness)),
        ("comprehensiveness_kl", mean(wanted.comprehensiveness, |s| s.kl, comprehensiveness)),
        ("sufficiency_entropy", mean(wanted.sufficiency, |s| s.entropy, sufficiency)),
        ("sufficiency_kl", mean(wanted.sufficiency, |s| s.kl, sufficiency)),
        ("aopc_thresholds", if wanted.thresholded { list(thresholds) } else { null() }),
        ("comprehensiveness_aopc", area(comprehensiveness)),
        ("comprehensiveness_aopc_points", points(comprehensiveness)),
        ("sufficiency_aopc", area(sufficiency)),
        ("sufficiency_aopc_points", points(sufficiency)),
    ])
}

/// Precision, recall and F1 of each class and their means, 0 where they divide by zero.
fn class_prf(counts: &[ClassCounts], names: &[String], accuracy: &str) -> String {
    let share = |part: u64, all: u64| if all == 0 { 0.0 } else { part as f64 / all as f64 };
    let rows: Vec<[f64; 4]> = counts
        .iter()
        .map(|c| {
            let f1 = share(2 * c.hits, c.predicted + c.support);
            [share(c.hits, c.predicted), share(c.hits, c.support), f1, c.support as f64]
        })
        .collect();
    let support: f64 = rows.iter().map(|row| row[3]).sum();
    let mean = |weight: fn(&[f64; 4]) -> f64| {
        let all: f64 = rows.iter().map(weight).sum();
        let of = |at: usize| rows.iter().map(|row| row[at] * weight(row)).sum::<f64>() / all;
        [of(0), of(1), of(2), support]
    };
    let row = |row: [f64; 4]| {
        let fields = ["precision", "recall", "f1-score", "support"].into_iter().zip(row);
        object(fields.map(|(name, value)| (name, number(value))))
    };
    // A class may be called as one of the means: the later entry of that name is the one that is read.
    let classes = names.iter().map(String::as_str).zip(rows.iter().map(|r| row(*r)));
    object(classes.chain([
        ("accuracy", accuracy.to_owned()),
        ("macro avg", row(mean(|_| 1.0))),
        ("weighted avg", row(mean(|row| row[3]))),
    ]))
}

fn micro_macro(scores: MicroMacro) -> String {
    object([("instance_micro", prf(scores.micro_, false)), ("instance_macro", prf(scores.macro_, true))])
}

fn prf(scores: Prf, is_mean: bool) -> String {
    let f1 = if scores.f1 == 0.0 && !is_mean { "0".to_owned() } else { number(scores.f1) };
    object([("p", number(scores.p)), ("r", number(scores.r)), ("f1", f1)])
}

fn ranks(ranks: &Ranks) -> String {
    object([
        ("auprc", number(ranks.auprc())),
        ("average_precision", number(ranks.average_precision())),
        ("roc_auc_score", number(ranks.roc_auc())),
    ])
}

fn object<'n>(fields: impl IntoIterator<Item = (&'n str, String)>) -> String {
    let fields: Vec<String> = fields.into_iter().map(|(name, value)| format!("{}: {value}", text(name))).collect();
    format!("{{{}}}", fields.join(", "))
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(", "))
}

fn null() -> String {
    "null".to_owned()
}

/// The shortest digits that read as the same number.
fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else {
        format!("{value:?}")
    }
}

fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
