//! Walks through results: every line is read once, in parallel blocks, and meets its annotation.

use std::path::PathBuf;

use serde::{Serialize, de::DeserializeOwned};

use crate::eraser::annotations::{Annotation, Annotations, Reading, Seen};
use crate::eraser::docs::Docs;
use crate::eraser::instance::Instance;
use crate::eraser::json::Object;
use crate::eraser::lines::{Files, Sizes};
use crate::problem::{Fault, Problem, Problems};

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

/// Results on their way through a reader, and what they are compared with.
pub struct Results {
    /// The first file.
    pub path: PathBuf,
    pub docs: Docs,
    pub annotations: Annotations,
    files: Files,
    seen: Seen,
}

/// An instance and what is known of it; the annotation is empty where there is none.
pub struct Case<'c> {
    pub instance: &'c Instance<'c>,
    pub annotation: &'c Annotation,
    pub docs: &'c Docs,
    pub annotations: &'c Annotations,
}

/// The instances of a block: for each its line, and where its annotation is or its name.
type Ids = Vec<(u64, Result<usize, String>)>;

/// The first line of results, and the files to read. None of these is opened twice.
pub fn open(input: &Input, sizes: Sizes) -> Result<(Vec<u8>, Files), Problem> {
    let Some(path) = input.results.first() else {
        return Err(Problem::new(&input.data_dir, None, Fault::new("no file of results", "at least one")));
    };
    let mut files = Files::new(&input.results, sizes);
    let empty = || Problem::new(path, None, Fault::new("no line", "one instance a line"));
    let line = files.first_line()?.ok_or_else(empty)?;
    Ok((line, input.part.as_ref().map_or(files, |part| Files::new(part, sizes))))
}

/// What is wrong with the first line.
pub fn first_problem(input: &Input, fault: Fault) -> Problem {
    Problem::new(input.results.first().unwrap_or(&input.data_dir), Some(1), fault)
}

impl Results {
    /// Reads the documents and annotations for the files of [`open`].
    pub fn new(
        input: &Input,
        files: Files,
        reading: Reading,
        sizes: Sizes,
        problems: &mut Problems,
    ) -> Result<Self, Problem> {
        let path = input.results.first().unwrap_or(&input.data_dir).clone();
        let docs = Docs::open(&input.data_dir, sizes, problems)?;
        let annotations = Annotations::open(&input.data_dir, &input.split, &docs, reading, sizes, problems)?;
        Ok(Self { path, seen: Seen::new(&annotations), docs, annotations, files })
    }

    /// What `add` makes of the next batch, a block at a time; nothing at the end of the last file. `add` takes an
    /// instance and reports its faults.
    pub fn step<T: Default + Send>(
        &mut self,
        problems: &mut Problems,
        add: impl Fn(&mut T, Case<'_>, &mut dyn FnMut(Fault)) + Sync,
        mut fold: impl FnMut(T),
    ) -> Result<bool, Problem> {
        let Self { docs, annotations, files, seen, .. } = self;
        let take = |found: &mut (T, Ids), line: u64, fields: Object<'_, '_>, fault: &mut dyn FnMut(Fault)| {
            let instance = &Instance::read(fields)?;
            let at = annotations.position(instance.id);
            let annotation = &at.map(|at| annotations.get(at)).unwrap_or_default();
            add(&mut found.0, Case { instance, annotation, docs, annotations }, fault);
            found.1.push((line, at.ok_or_else(|| instance.id.to_owned())));
            Ok(())
        };
        files.step(problems, take, |(found, ids), faults| {
            fold(found);
            for (line, id) in ids {
                seen.note(id, annotations).unwrap_or_else(|fault| faults.push((line, fault)));
            }
        })
    }

    /// The positions of the annotations without an instance.
    pub fn missing(&self) -> Vec<usize> {
        self.seen.missing().collect()
    }

    /// The problem of annotations without an instance; none where there is none.
    pub fn lack(&self) -> Option<Problem> {
        let missing = self.missing();
        let first = self.annotations.name(*missing.first()?);
        let found = format!("{} without an instance in the results, the first is {first:?}", missing.len());
        let fault = Fault::new(found, "an instance for each").within("annotation_id");
        Some(Problem::new(&self.annotations.path, None, fault))
    }

    /// What was read so far and what it came to, as bytes that another machine takes; float64 to the last bit.
    pub fn pack<T: Serialize>(&self, value: &T) -> Result<Vec<u8>, Problem> {
        let fault = |error: postcard::Error| Fault::new(error.to_string(), "a part");
        postcard::to_stdvec(&(value, &self.seen)).map_err(|error| Problem::new(&self.path, None, fault(error)))
    }

    /// The value of such bytes; the instances read there are read.
    pub fn unpack<T: DeserializeOwned>(&mut self, bytes: &[u8], fits: impl FnOnce(&T) -> bool) -> Result<T, Problem> {
        match postcard::take_from_bytes::<(T, Seen)>(bytes) {
            Ok(((value, seen), [])) if fits(&value) => {
                let at = |fault| Problem::new(&self.path, None, fault);
                self.seen.merge(seen, &self.annotations).map_err(at)?;
                Ok(value)
            }
            _ => {
                let fault = Fault::new("bytes that are no part of these results", "those of the same command");
                Err(Problem::new(&self.path, None, fault))
            }
        }
    }
}
