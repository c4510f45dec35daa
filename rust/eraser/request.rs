//! What to score, and how.

use std::path::PathBuf;

use crate::eraser::classes::Wanted;
use crate::eraser::lines::Sizes;

/// What to score.
#[derive(Debug, Clone)]
pub struct Input {
    /// Files of results, taken as one. The first instance of the first decides for all what is computed.
    pub results: Vec<PathBuf>,
    /// The files to read here, where others are read elsewhere; none = all.
    pub part: Option<Vec<PathBuf>>,
    /// Folder of the annotations and documents.
    pub data_dir: PathBuf,
    /// Name of the annotation file without its ending.
    pub split: String,
}

/// How to score.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Intersections over union from which spans match.
    pub iou_thresholds: Vec<f64>,
    /// Thresholds of `thresholded_scores` to average over; none = whichever there are, for checking alone.
    pub aopc_thresholds: Option<Vec<f64>>,
    /// How much is read and parsed at a time.
    pub sizes: Sizes,
}

/// What is computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
pub struct Blocks {
    /// Scores of hard rationales.
    pub hard: bool,
    /// Scores of token scores.
    pub soft: bool,
    /// Scores of sentence scores.
    pub sentences: bool,
    /// Scores of classes.
    pub classes: bool,
    /// Of those, the ones that need class scores.
    pub wanted: Wanted,
    /// The share of tokens to flip, which is computed and not shown.
    pub tokens_to_flip: bool,
}
