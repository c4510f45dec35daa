//! The annotations of a split: for each id its class and its evidence, in a few bytes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::eraser::docs::Docs;
use crate::eraser::evidence::{self, Annotation, Item, encode};
use crate::eraser::json::{Fault, Outcome, Parser};
use crate::eraser::lines::{self, Parsed, Sizes};
use crate::eraser::problem::Problem;
use crate::eraser::spans::{Span, inside};
pub use crate::eraser::table::Entry;
use crate::eraser::table::{self, Table};

/// How annotations are read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading<'d> {
    /// Keep the spans of sentences too.
    pub sentences: bool,
    /// Refuse fields that the benchmark's format does not have, and the lack of those that it demands, as its own
    /// scorer does.
    pub exact: bool,
    /// Compare the spans with the lengths of these documents, line by line.
    pub docs: Option<&'d Docs>,
}

/// All annotations of a split.
#[derive(Debug)]
pub struct Annotations {
    /// Their file.
    pub path: PathBuf,
    /// The names of their classes, in order of appearance.
    pub classes: Vec<String>,
    table: Table,
    has_sentences: bool,
}

impl Annotations {
    /// Reads `SPLIT.jsonl` (also compressed). To be called inside a thread pool.
    ///
    /// `problem` is called for each bad line; it returns the error that ends the reading.
    pub fn open(
        data_dir: &Path,
        split: &str,
        reading: Reading<'_>,
        sizes: Sizes,
        mut problem: impl FnMut(Problem) -> Result<(), Problem>,
    ) -> Result<Self, Problem> {
        let name = data_dir.join(format!("{split}.jsonl"));
        let path = lines::find(&name).unwrap_or(name);
        let has_sentences = reading.sentences;
        let mut found = Self { path: path.clone(), classes: Vec::new(), table: Table::default(), has_sentences };
        let mut classes = HashMap::new();
        lines::stream(
            &path,
            sizes,
            |block| read_block(block, reading),
            |lines_before, block: Block| {
                found.add(&block.entries, &mut classes).map_err(|fault| Problem::new(&path, None, fault))?;
                block
                    .faults
                    .into_iter()
                    .try_for_each(|(line, fault)| problem(Problem::new(&path, Some(lines_before + line), fault)))
            },
        )?;
        Ok(found)
    }

    /// The entry of an id; [`Annotations::decode`] reads it.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Entry<'_>> {
        self.table.get(id.as_bytes())
    }

    /// The id of the entry at a position.
    #[must_use]
    pub fn name(&self, at: usize) -> String {
        self.table.at(at).map_or_else(String::new, |entry| String::from_utf8_lossy(entry.name).into_owned())
    }

    /// All entries, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.table.iter()
    }

    /// Number of ids.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Number of bytes of all entries: above every [`Entry::at`].
    #[must_use]
    pub fn size(&self) -> usize {
        self.table.size()
    }

    /// Reads an entry into `out`, in place of what was there: the classes and the evidence of all annotations of its id.
    pub fn decode(&self, entry: &Entry<'_>, out: &mut Annotation) {
        out.clear();
        let (mut next, mut is_one) = (Some(*entry), true);
        // Records are written by `add` alone, so they never end early.
        while let Some(Entry { name, mut record, .. }) = next {
            let earlier = table::take(&mut record).and_then(|at| (at as usize).checked_sub(1));
            let _ = evidence::decode(name, record, self.has_sentences, out);
            next = earlier.and_then(|at| self.table.at(at));
            is_one &= next.is_none();
        }
        if !is_one {
            out.unite();
        }
    }

    /// Adds what was read from a block.
    fn add(&mut self, mut entries: &[u8], indices: &mut HashMap<String, usize>) -> Outcome<()> {
        let mut next = || {
            Some((table::take_bytes(&mut entries)?, table::take_bytes(&mut entries)?, table::take_bytes(&mut entries)?))
        };
        let mut record = Vec::new();
        while let Some((id, class, evidence)) = next() {
            let class = match class.split_first() {
                Some((_, name)) => self.class(&String::from_utf8_lossy(name), indices) + 1,
                None => 0,
            };
            record.clear();
            // Several annotations of one id, which nobody forbids, are a chain of records: each leads to the one before.
            table::put(&mut record, self.table.get(id).map_or(0, |earlier| earlier.at as u64 + 1));
            table::put(&mut record, class as u64);
            record.extend_from_slice(evidence);
            if !self.table.set(id, &record) {
                return Err(Fault::new(table::TOO_MANY, "fewer annotations"));
            }
        }
        Ok(())
    }

    fn class(&mut self, name: &str, indices: &mut HashMap<String, usize>) -> usize {
        if let Some(&index) = indices.get(name) {
            return index;
        }
        self.classes.push(name.to_owned());
        indices.insert(name.to_owned(), self.classes.len() - 1);
        self.classes.len() - 1
    }
}

/// The annotations of a block of lines.
#[derive(Default)]
struct Block {
    /// For each annotation its id, its class (empty = null, else a byte and the name) and its evidence.
    entries: Vec<u8>,
    faults: Vec<(u64, Fault)>,
}

fn read_block(block: &[u8], reading: Reading<'_>) -> Parsed<Block> {
    let (mut lines, mut outcome) = (0, Block::default());
    let mut spans = Vec::new();
    for line in lines::split(block) {
        lines += 1;
        if let Err(fault) = read_line(line, reading, &mut spans, &mut outcome.entries) {
            outcome.faults.push((lines, fault));
        }
    }
    Parsed { lines, outcome }
}

fn read_line(line: &[u8], reading: Reading<'_>, items: &mut Vec<Item>, out: &mut Vec<u8>) -> Outcome<()> {
    let Reading { sentences, exact, docs } = reading;
    let (mut id, mut class, mut groups, mut query) = (None, None, None, !exact);
    Parser::whole_object(lines::as_text(line)?, |p, key| {
        match key.as_ref() {
            "annotation_id" => id = Some(p.string()?),
            "classification" => class = Some(if p.null() { None } else { Some(p.string()?) }),
            "evidences" => {
                items.clear();
                let mut group = 0;
                p.list(|p| {
                    p.list(|evidence| {
                        items.push(read_evidence(evidence, group, reading)?);
                        Ok(())
                    })?;
                    group += 1;
                    Ok(())
                })?;
                groups = Some(group);
            }
            "query" => {
                query = true;
                p.skip()?;
            }
            "query_type" | "docids" => p.skip()?,
            _ if exact => return Err(foreign("annotation")),
            _ => p.skip()?,
        }
        Ok(())
    })?;
    let missing = |field: &str, expected: &str| Fault::new("nothing", expected).within(field);
    let id = id.ok_or_else(|| missing("annotation_id", "text"))?;
    let class = class.ok_or_else(|| missing("classification", "the name of a class"))?;
    groups.ok_or_else(|| missing("evidences", "a list of lists of evidence"))?;
    if !query {
        return Err(missing("query", "text"));
    }
    // An annotation of a wrong place is told and still there for the instance that belongs to it.
    let places = docs.map_or(Ok(()), |docs| check_places(items, docs, sentences));
    table::put_bytes(out, id.as_bytes());
    table::put_bytes(out, class.map_or_else(String::new, |name| format!("={name}")).as_bytes());
    table::put_bytes(out, &encode(id.as_bytes(), items, sentences));
    places
}

/// A fault of a field that the benchmark's format does not have.
fn foreign(what: &str) -> Fault {
    Fault::new("a field that the format does not have", format!("the fields of an {what} alone"))
}

fn read_evidence(p: &mut Parser<'_>, group: usize, reading: Reading<'_>) -> Outcome<Item> {
    let Reading { sentences, exact, .. } = reading;
    // An evidence that does not say where it is has -1 there, as in the reference reader.
    let nowhere = Span { start: -1, end: -1 };
    let (mut docid, mut at, mut sentence, mut text) = (None, nowhere, nowhere, !exact);
    p.object(|p, key| {
        match key.as_ref() {
            "docid" => docid = Some(p.string()?.into_owned()),
            "start_token" => at.start = p.integer()?,
            "end_token" => at.end = p.integer()?,
            "start_sentence" if sentences => sentence.start = p.integer()?,
            "end_sentence" if sentences => sentence.end = p.integer()?,
            "text" => {
                text = true;
                // Evidence is put into sets there, which a list cannot be.
                if exact && p.is_nested() {
                    return Err(p.wrong("text"));
                }
                p.skip()?;
            }
            "start_sentence" | "end_sentence" => p.skip()?,
            _ if exact => return Err(foreign("evidence")),
            _ => p.skip()?,
        }
        Ok(())
    })?;
    let docid = docid.ok_or_else(|| Fault::new("nothing", "the name of a document").within("docid"))?;
    if !text {
        return Err(Fault::new("nothing", "text").within("text"));
    }
    Ok(Item { group, docid, tokens: at, sentences: sentence })
}

/// A fault if an evidence is of no document or lies outside it.
fn check_places(items: &[Item], docs: &Docs, sentences: bool) -> Outcome<()> {
    for group in items.chunk_by(|a, b| a.group == b.group) {
        for (i, item) in group.iter().enumerate() {
            let check = || {
                let lengths = docs.lengths(&item.docid).map_err(|fault| fault.within("docid"))?;
                inside(item.tokens, lengths.tokens).map_err(|fault| fault.within("start_token, end_token"))?;
                let check = if sentences { inside(item.sentences, lengths.sentences) } else { Ok(()) };
                check.map_err(|fault| fault.within("start_sentence, end_sentence"))
            };
            check().map_err(|fault: Fault| fault.at(i).at(item.group).within("evidences"))?;
        }
    }
    Ok(())
}
