//! Whether class scores are probabilities, and whether the predicted class is the one that they prefer.
//!
//! The benchmark's own scorer asks for neither. Where classes stand in another order than their names, or the scores
//! are in percent, every number about them is wrong without a sign of it.

use crate::eraser::instance::{CLASS, FULL, Instance, PARTS, POINTS, Scores};
use crate::eraser::json::Field;
use crate::problem::{Fault, Outcome};

/// How far a probability may be off: files round to two digits, and half precision keeps little more.
const ROUNDING: f64 = 0.005;

/// How far a sum may be off, however many classes there are.
const FURTHEST: f64 = 0.1;

/// Whether the predicted class is not the one with the highest score, and whether the scores on the whole input or on a
/// part of it do not sum to 1.
pub fn odd(instance: &Instance<'_>) -> [Outcome<()>; 2] {
    [prediction(instance), sums(instance)]
}

/// Counts an instance with such faults.
pub fn count(odd: &mut [u64; 2], instance: &Instance<'_>) {
    odd.iter_mut().zip(self::odd(instance)).for_each(|(count, found)| *count += u64::from(found.is_err()));
}

/// A fault if the predicted class has not the highest score on the whole input, or shares it.
fn prediction(instance: &Instance<'_>) -> Outcome<()> {
    let (Some(class), Some(scores)) = (instance.classification.given(), instance.scores.given()) else { return Ok(()) };
    let Some((best, highest)) = scores.iter().max_by(|a, b| a.1.total_cmp(b.1)) else { return Ok(()) };
    match scores.get(class) {
        Some(score) if score + ROUNDING < *highest => {
            let expected = format!("{best:?}, the class with the highest score ({highest:?}, not {score:?})");
            Err(Fault::new(format!("{class:?}"), expected).within(CLASS))
        }
        _ => Ok(()),
    }
}

/// A fault if the class scores on the whole input or on a part of it do not sum to 1.
fn sums(instance: &Instance<'_>) -> Outcome<()> {
    sum(&instance.scores, FULL)?;
    let parts = |parts: &[Field<Scores<'_>>; 2]| parts.iter().zip(PARTS).try_for_each(|(part, name)| sum(part, name));
    parts(&instance.parts)?;
    let mut points = instance.points().iter().enumerate();
    points.try_for_each(|(i, entry)| parts(&entry.parts).map_err(|fault| fault.at(i).within(POINTS)))
}

fn sum(field: &Field<Scores<'_>>, name: &str) -> Outcome<()> {
    let Some(scores) = field.given() else { return Ok(()) };
    let sum: f64 = scores.values().sum();
    let slack = (ROUNDING * scores.len().max(2) as f64).min(FURTHEST);
    // The comparison is also false for NaN. A hair more: two scores may both be rounded by a full half.
    if (sum - 1.0).abs() <= slack + 1e-9 {
        return Ok(());
    }
    let percent = if (sum - 100.0).abs() <= 100.0 * slack { " (percent?)" } else { "" };
    let expected = format!("probabilities that sum to 1, give or take {slack}");
    Err(Fault::new(format!("a sum of {sum:.4}{percent}"), expected).within(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(class: &str, scores: &str) -> [Outcome<()>; 2] {
        let line = format!(
            "{{\"annotation_id\": \"a\", \"rationales\": [], \"classification\": \"{class}\", \"classification_scores\": {scores}}}"
        );
        let found = Instance::parse(line.as_bytes(), |instance| Ok(odd(instance)));
        found.unwrap_or_else(|fault| [Err(fault), Ok(())])
    }

    #[test]
    fn rounding_and_ties_are_let_through_and_no_more() {
        for (class, scores) in
            [("b", r#"{"a": 0.5, "b": 0.5}"#), ("b", r#"{"a": 0.504, "b": 0.5}"#), ("z", r#"{"a": 0.5, "b": 0.5}"#)]
        {
            assert_eq!(read(class, scores), [Ok(()), Ok(())], "{class} {scores}");
        }
        assert!(matches!(read("b", r#"{"a": 0.51, "b": 0.49}"#), [Err(f), Ok(())] if f.field == "classification"));
        for (scores, found) in [
            (r#"{"a": 0.5, "b": 0.52}"#, "a sum of 1.0200"),
            (r#"{"a": NaN, "b": 1}"#, "a sum of NaN"),
            (r#"{"a": 30, "b": 70}"#, "a sum of 100.0000 (percent?)"),
        ] {
            assert!(matches!(read("b", scores), [_, Err(f)] if f.found == found), "{scores}");
        }
    }
}
