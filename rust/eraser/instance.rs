//! One line of results: the predictions for one instance.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use crate::eraser::json::{Fault, Outcome, Parser};
use crate::eraser::spans::Span;

/// With more classes than this their names are looked up in a map.
const FEW_CLASSES: usize = 16;

/// A field that may be missing or null, which the reference scorer tells apart.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Field<T> {
    /// There is no such field.
    #[default]
    Missing,
    /// The field is null.
    Null,
    /// The field has a value.
    Given(T),
}

impl<T> Field<T> {
    /// The value, if there is one.
    pub fn given(&self) -> Option<&T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Missing | Self::Null => None,
        }
    }

    /// Whether the field is there, null or not.
    pub fn has_key(&self) -> bool {
        !matches!(self, Self::Missing)
    }

    fn read<'a>(p: &mut Parser<'a>, value: impl FnOnce(&mut Parser<'a>) -> Outcome<T>) -> Outcome<Self> {
        if p.null() { Ok(Self::Null) } else { value(p).map(Self::Given) }
    }
}

/// A distribution over classes, in [`Instance::classes`].
pub type Distribution = Range<usize>;

/// Predictions for one document.
#[derive(Debug, Default)]
pub struct Rationale<'a> {
    /// The document.
    pub docid: Cow<'a, str>,
    /// Hard spans, in [`Instance::spans`].
    pub hard: Field<Range<usize>>,
    /// A score for each token, in [`Instance::numbers`].
    pub soft: Field<Range<usize>>,
    /// A score for each sentence, in [`Instance::numbers`].
    pub sentences: Field<Range<usize>>,
}

/// Class scores with the rationale at one threshold taken away or kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// Which threshold.
    pub threshold: f64,
    /// Class scores without the rationale.
    pub comprehensiveness: Field<Distribution>,
    /// Class scores of the rationale alone.
    pub sufficiency: Field<Distribution>,
}

/// One line of results. Used again for the next line, so that reading allocates nothing in the long run.
#[derive(Debug, Default)]
pub struct Instance<'a> {
    /// The annotation it belongs to.
    pub id: Cow<'a, str>,
    /// Predictions for each document.
    pub rationales: Vec<Rationale<'a>>,
    /// The predicted class.
    pub classification: Field<Cow<'a, str>>,
    /// Class scores on the whole input.
    pub scores: Field<Distribution>,
    /// Class scores without the rationale.
    pub comprehensiveness: Field<Distribution>,
    /// Class scores of the rationale alone.
    pub sufficiency: Field<Distribution>,
    /// Class scores at several thresholds.
    pub thresholded: Field<Vec<Threshold>>,
    /// Whether `tokens_to_flip` is given: 0 = no, else yes.
    pub tokens_to_flip: Field<f64>,
    /// All hard spans.
    pub spans: Vec<Span>,
    /// All token and sentence scores.
    pub numbers: Vec<f64>,
    /// All class scores; a class occurs once in a distribution.
    pub classes: Vec<(Cow<'a, str>, f64)>,
}

impl<'a> Instance<'a> {
    /// Reads a line, in place of what was read before.
    pub fn read(&mut self, line: &'a str) -> Outcome<()> {
        self.clear();
        let (mut has_id, mut has_rationales) = (false, false);
        Parser::whole_object(line, |p, key| {
            match key.as_ref() {
                "annotation_id" => {
                    self.id = p.string()?;
                    has_id = true;
                }
                "rationales" => {
                    has_rationales = true;
                    self.rationales.clear();
                    p.list(|p| self.read_rationale(p))?;
                }
                "classification" => self.classification = Field::read(p, Parser::string)?,
                "classification_scores" => self.scores = self.distribution(p)?,
                "comprehensiveness_classification_scores" => self.comprehensiveness = self.distribution(p)?,
                "sufficiency_classification_scores" => self.sufficiency = self.distribution(p)?,
                "thresholded_scores" => self.thresholded = Field::read(p, |p| self.read_thresholds(p))?,
                "tokens_to_flip" => self.tokens_to_flip = Field::read(p, Parser::number)?,
                _ => p.skip()?,
            }
            Ok(())
        })?;
        let missing = |field: &str, expected: &str| Fault::new("nothing", expected).within(field);
        match (has_id, has_rationales) {
            (false, _) => Err(missing("annotation_id", "text")),
            (_, false) => Err(missing("rationales", "a list of predictions, one a document")),
            _ => Ok(()),
        }
    }

    /// The spans of a rationale; none where it has none.
    #[must_use]
    pub fn hard(&self, rationale: &Rationale<'_>) -> &[Span] {
        rationale.hard.given().and_then(|range| self.spans.get(range.clone())).unwrap_or_default()
    }

    /// The scores of a range.
    #[must_use]
    pub fn scores_in(&self, range: &Range<usize>) -> &[f64] {
        self.numbers.get(range.clone()).unwrap_or_default()
    }

    /// The classes and scores of a distribution.
    #[must_use]
    pub fn distribution_in(&self, range: &Distribution) -> &[(Cow<'a, str>, f64)] {
        self.classes.get(range.clone()).unwrap_or_default()
    }

    /// Whether any rationale has scores for tokens, and whether any has scores for sentences.
    #[must_use]
    pub fn has_soft(&self) -> (bool, bool) {
        let any = |field: fn(&Rationale<'a>) -> bool| self.rationales.iter().any(field);
        (any(|r| r.soft.given().is_some()), any(|r| r.sentences.given().is_some()))
    }

    fn clear(&mut self) {
        self.id = Cow::Borrowed("");
        self.rationales.clear();
        self.classification = Field::Missing;
        self.scores = Field::Missing;
        self.comprehensiveness = Field::Missing;
        self.sufficiency = Field::Missing;
        self.thresholded = Field::Missing;
        self.tokens_to_flip = Field::Missing;
        self.spans.clear();
        self.numbers.clear();
        self.classes.clear();
    }

    fn read_rationale(&mut self, p: &mut Parser<'a>) -> Outcome<()> {
        let (mut docid, mut found) = (None, Rationale::default());
        p.object(|p, key| {
            match key.as_ref() {
                "docid" => docid = Some(p.string()?),
                "hard_rationale_predictions" => found.hard = Field::read(p, |p| self.read_spans(p))?,
                "soft_rationale_predictions" => found.soft = Field::read(p, |p| self.read_numbers(p))?,
                "soft_sentence_predictions" => found.sentences = Field::read(p, |p| self.read_numbers(p))?,
                _ => p.skip()?,
            }
            Ok(())
        })?;
        found.docid = docid.ok_or_else(|| Fault::new("nothing", "the name of a document").within("docid"))?;
        self.rationales.push(found);
        Ok(())
    }

    fn read_spans(&mut self, p: &mut Parser<'a>) -> Outcome<Range<usize>> {
        let first = self.spans.len();
        p.list(|p| {
            let (mut start, mut end) = (None, None);
            p.object(|p, key| {
                match key.as_ref() {
                    "start_token" => start = Some(p.integer()?),
                    "end_token" => end = Some(p.integer()?),
                    _ => p.skip()?,
                }
                Ok(())
            })?;
            let missing = |field: &str| Fault::new("nothing", "a whole number").within(field);
            self.spans.push(Span {
                start: start.ok_or_else(|| missing("start_token"))?,
                end: end.ok_or_else(|| missing("end_token"))?,
            });
            Ok(())
        })?;
        Ok(first..self.spans.len())
    }

    fn read_numbers(&mut self, p: &mut Parser<'a>) -> Outcome<Range<usize>> {
        let first = self.numbers.len();
        p.list(|p| {
            let number = p.number()?;
            self.numbers.push(number);
            Ok(())
        })?;
        Ok(first..self.numbers.len())
    }

    fn distribution(&mut self, p: &mut Parser<'a>) -> Outcome<Field<Distribution>> {
        Field::read(p, |p| self.read_distribution(p))
    }

    /// Reads class scores. Of equal names the last value wins, at the place of the first, as in a Python dict.
    fn read_distribution(&mut self, p: &mut Parser<'a>) -> Outcome<Distribution> {
        let first = self.classes.len();
        let mut places: HashMap<Cow<'a, str>, usize> = HashMap::new();
        p.object(|p, class| {
            let score = p.number()?;
            let read = self.classes.get_mut(first..).unwrap_or_default();
            let earlier = if read.len() <= FEW_CLASSES {
                read.iter_mut().find(|(name, _)| name == class)
            } else {
                if places.is_empty() {
                    places.extend(read.iter().enumerate().map(|(i, (name, _))| (name.clone(), i)));
                }
                places.get(class).copied().and_then(|i| read.get_mut(i))
            };
            if let Some((_, value)) = earlier {
                *value = score;
                return Ok(());
            }
            if !places.is_empty() {
                places.insert(class.clone(), read.len());
            }
            self.classes.push((class.clone(), score));
            Ok(())
        })?;
        Ok(first..self.classes.len())
    }

    fn read_thresholds(&mut self, p: &mut Parser<'a>) -> Outcome<Vec<Threshold>> {
        let mut found = Vec::new();
        p.list(|p| {
            let mut threshold = None;
            let (mut comprehensiveness, mut sufficiency) = (Field::Missing, Field::Missing);
            p.object(|p, key| {
                match key.as_ref() {
                    "threshold" => threshold = Some(p.number()?),
                    "comprehensiveness_classification_scores" => comprehensiveness = self.distribution(p)?,
                    "sufficiency_classification_scores" => sufficiency = self.distribution(p)?,
                    _ => p.skip()?,
                }
                Ok(())
            })?;
            let threshold = threshold.ok_or_else(|| Fault::new("nothing", "a number").within("threshold"))?;
            found.push(Threshold { threshold, comprehensiveness, sufficiency });
            Ok(())
        })?;
        Ok(found)
    }
}
