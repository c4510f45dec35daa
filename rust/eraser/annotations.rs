//! The annotations of a split: for each id its class and its evidence, in a few bytes; and which of them had an
//! instance.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use indexmap::{IndexMap, IndexSet};
use serde::{Deserialize, Serialize};

use crate::eraser::docs::Docs;
use crate::eraser::json::{self, Object, Value};
use crate::eraser::lines::{self, Sizes};
use crate::eraser::spans::{self, Span, inside};
use crate::problem::{Fault, Outcome, Problem, Problems};

/// The fields of an annotation and of an evidence.
const FIELDS: [&str; 6] = ["annotation_id", "classification", "evidences", "query", "query_type", "docids"];
const EVIDENCE_FIELDS: [&str; 6] = ["text", "docid", "start_token", "end_token", "start_sentence", "end_sentence"];

/// How annotations are read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    /// Keep the spans of sentences too.
    pub sentences: bool,
    /// Refuse fields that the benchmark's format does not have, and the lack of those that it demands, as its own
    /// scorer does.
    pub exact: bool,
    /// Compare the spans with the lengths of the documents, line by line.
    pub places: bool,
}

/// The evidence in one document: different spans, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The document.
    pub docid: String,
    /// Spans of tokens.
    pub tokens: Vec<Span>,
    /// Spans of sentences; empty unless they were asked for.
    pub sentences: Vec<Span>,
}

impl Evidence {
    /// A fault if there is no such document or a span lies outside it; `tokens`: also spans of tokens.
    pub fn check(&self, docs: &Docs, tokens: bool) -> Outcome<()> {
        let lengths = docs.lengths(&self.docid).map_err(|fault| fault.within("docid"))?;
        let all = |spans: &[Span], length: u32, name: &str| {
            spans.iter().try_for_each(|&span| inside(span, length as usize)).map_err(|fault| fault.within(name))
        };
        if tokens {
            all(&self.tokens, lengths.tokens, "start_token, end_token")?;
        }
        all(&self.sentences, lengths.sentences, "start_sentence, end_sentence")
    }
}

/// The evidence and classes of one id. Several annotations of one id, which nobody forbids, are one of these.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Annotation {
    /// The class of each annotation of this id, as a position in [`Annotations::classes`]; none = null.
    pub classes: Vec<Option<u32>>,
    /// The documents with evidence, in the order of their names.
    pub docs: Vec<Evidence>,
}

impl Annotation {
    /// The evidence in a document, if there is any.
    pub fn evidence(&self, docid: &str) -> Option<&Evidence> {
        let at = self.docs.binary_search_by(|evidence| evidence.docid.as_str().cmp(docid)).ok()?;
        self.docs.get(at)
    }
}

/// All annotations of a split.
#[derive(Debug)]
pub struct Annotations {
    /// Their file.
    pub path: PathBuf,
    /// The names of their classes, in order of appearance.
    pub classes: IndexSet<String>,
    /// Bytes of postcard: for each annotation of the id its class and its evidence.
    records: IndexMap<Box<str>, Vec<u8>>,
}

impl Annotations {
    /// Reads `SPLIT.jsonl` (also compressed). To be called inside a thread pool.
    pub fn open(
        data_dir: &Path,
        split: &str,
        docs: &Docs,
        reading: Reading,
        sizes: Sizes,
        problems: &mut Problems,
    ) -> Result<Self, Problem> {
        let name = data_dir.join(format!("{split}.jsonl"));
        let path = lines::find(&name).unwrap_or(name);
        let mut found = Self { path: path.clone(), classes: IndexSet::new(), records: IndexMap::new() };
        let take = |lines: &mut Vec<_>, fields: Object<'_, '_>| {
            let (line, places) = read_line(fields, docs, reading)?;
            lines.push(line);
            places
        };
        lines::each(&path, sizes, problems, take, |lines| lines.into_iter().for_each(|line| found.add(line)))?;
        Ok(found)
    }

    fn add(&mut self, (id, class, evidence): Line) {
        let class = class.map(|name| self.classes.insert_full(name).0 as u32);
        let record = self.records.entry(id).or_default();
        record.extend(postcard::to_stdvec(&class).unwrap_or_default());
        record.extend(evidence);
        if record.len() < 64 {
            record.shrink_to_fit();
        }
    }

    /// The position of an id.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.records.get_index_of(id)
    }

    /// The id at a position.
    pub fn name(&self, at: usize) -> &str {
        self.records.get_index(at).map_or("", |(id, _)| id)
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// The annotation at a position.
    pub fn get(&self, at: usize) -> Annotation {
        let mut found = Annotation::default();
        let mut record = self.records.get_index(at).map(|(_, record)| record.as_slice()).unwrap_or_default();
        while let Ok(((class, docs), rest)) = postcard::take_from_bytes::<(Option<u32>, Vec<Evidence>)>(record) {
            found.classes.push(class);
            found.docs.extend(docs);
            record = rest;
        }
        if found.classes.len() > 1 {
            found.docs = gather(found.docs);
        }
        found
    }
}

/// An annotation as it is read: its id, its class, and the bytes of its evidence.
type Line = (Box<str>, Option<String>, Vec<u8>);

/// Reads a line. An annotation of a wrong place is a fault and still there for the instance that belongs to it.
fn read_line(fields: Object<'_, '_>, docs: &Docs, reading: Reading) -> Outcome<(Line, Outcome<()>)> {
    known(fields, &FIELDS, reading.exact, "annotation")?;
    let id = fields.need("annotation_id", "text", json::text)?;
    let class = fields.need("classification", "the name of a class", |value| match value {
        Value::Null => Ok(None),
        name => json::text(name).map(|name| Some(name.to_owned())),
    })?;
    let group = |value| json::list(value, |value| evidence(value, reading));
    let groups = fields.need("evidences", "a list of lists of evidence", |value| json::list(value, group))?;
    if reading.exact {
        fields.need("query", "text", |_| Ok(()))?;
    }
    let mut all = groups.iter().enumerate().flat_map(|(g, group)| (0..).zip(group).map(move |(i, item)| (g, i, item)));
    let check =
        |(g, i, item): (_, _, &Evidence)| item.check(docs, true).map_err(|fault| fault.at(i).at(g).within("evidences"));
    let places = if reading.places { all.try_for_each(check) } else { Ok(()) };
    let evidence = postcard::to_stdvec(&gather(groups.into_iter().flatten().collect())).unwrap_or_default();
    Ok(((id.into(), class, evidence), places))
}

/// A fault of a field that the benchmark's format does not have.
fn known(fields: Object<'_, '_>, names: &[&str], exact: bool, what: &str) -> Outcome<()> {
    match fields.0.iter().find(|(key, _)| exact && !names.contains(&key.as_ref())) {
        Some((key, _)) => {
            let expected = format!("the fields of an {what} alone");
            Err(Fault::new("a field that the format does not have", expected).within(key))
        }
        None => Ok(()),
    }
}

fn evidence(value: &Value<'_>, reading: Reading) -> Outcome<Evidence> {
    let fields = json::object(value)?;
    known(fields, &EVIDENCE_FIELDS, reading.exact, "evidence")?;
    if reading.exact {
        // Evidence is put into sets there, which a list cannot be.
        fields.need("text", "text", |value| match value {
            Value::Array(_) | Value::Object(_) => Err(json::wrong(value, "text")),
            _ => Ok(()),
        })?;
    }
    // An evidence that does not say where it is has -1 there, as in the reference reader.
    let position = |name| Ok::<_, Fault>(fields.any(name, json::integer)?.unwrap_or(-1));
    Ok(Evidence {
        docid: fields.need("docid", "the name of a document", json::text)?.to_owned(),
        tokens: vec![Span { start: position("start_token")?, end: position("end_token")? }],
        sentences: if reading.sentences {
            vec![Span { start: position("start_sentence")?, end: position("end_sentence")? }]
        } else {
            Vec::new()
        },
    })
}

/// Each document once and in order, its spans in order and none twice.
fn gather(mut docs: Vec<Evidence>) -> Vec<Evidence> {
    docs.sort_by(|a, b| a.docid.cmp(&b.docid));
    docs.dedup_by(|later, first| {
        let is_same = later.docid == first.docid;
        if is_same {
            first.tokens.append(&mut later.tokens);
            first.sentences.append(&mut later.sentences);
        }
        is_same
    });
    for evidence in &mut docs {
        spans::sort(&mut evidence.tokens);
        spans::sort(&mut evidence.sentences);
    }
    docs
}

/// Which instances were there: every annotation wants one, and none may come twice.
#[derive(Debug, Serialize, Deserialize)]
pub struct Seen {
    annotated: Vec<bool>,
    /// The names of instances without an annotation.
    others: BTreeSet<String>,
}

impl Seen {
    /// Nothing seen yet.
    pub fn new(annotations: &Annotations) -> Self {
        Self { annotated: vec![false; annotations.len()], others: BTreeSet::new() }
    }

    /// Notes an instance by the position of its annotation, or by its name; a fault if it was there already.
    pub fn note(&mut self, id: Result<usize, String>, annotations: &Annotations) -> Outcome<()> {
        let (name, is_new) = match id {
            Ok(at) => {
                let seen = self.annotated.get_mut(at).is_none_or(|seen| std::mem::replace(seen, true));
                (annotations.name(at).to_owned(), !seen)
            }
            Err(name) => (name.clone(), self.others.insert(name)),
        };
        if is_new {
            return Ok(());
        }
        Err(Fault::new(format!("{name:?} again"), "every instance once").within("annotation_id"))
    }

    /// The positions of the annotations that no instance had.
    pub fn missing(&self) -> impl Iterator<Item = usize> {
        self.annotated.iter().enumerate().filter_map(|(at, seen)| (!seen).then_some(at))
    }

    /// Adds what was seen elsewhere; a fault if it was seen here already, or was seen with other annotations.
    pub fn merge(&mut self, other: Self, annotations: &Annotations) -> Outcome<()> {
        if other.annotated.len() != self.annotated.len() {
            return Err(Fault::new("a part made with other annotations", "the same files everywhere"));
        }
        let annotated = other.annotated.iter().enumerate().filter_map(|(at, seen)| seen.then_some(Ok(at)));
        annotated.chain(other.others.into_iter().map(Err)).try_for_each(|id| self.note(id, annotations))
    }
}
