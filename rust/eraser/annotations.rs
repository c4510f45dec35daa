//! The annotations of a split: for each id its class and its evidence, in a few bytes.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::eraser::docs::{Docs, Lengths};
use crate::eraser::json::{Fault, Outcome, Parser};
use crate::eraser::lines::{self, Parsed, Sizes};
use crate::eraser::problem::Problem;
use crate::eraser::spans::{self, Span};
pub use crate::eraser::table::Entry;
use crate::eraser::table::{self, Table};

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

/// The evidence and classes of one id. Several annotations of one id, which nobody forbids, are one of these.
#[derive(Debug, Default)]
pub struct Annotation {
    /// The class of each annotation of this id, as a position in [`Annotations::classes`]; none = null.
    pub classes: Vec<Option<usize>>,
    /// The documents with evidence, in the order of their names.
    pub docs: Vec<Evidence>,
    tokens: Vec<Span>,
    sentences: Vec<Span>,
}

/// The evidence in one document: different spans, in order.
#[derive(Debug)]
pub struct Evidence {
    /// The document.
    pub docid: String,
    tokens: Range<usize>,
    sentences: Range<usize>,
}

impl Annotation {
    /// The spans of tokens in a document.
    #[must_use]
    pub fn tokens(&self, evidence: &Evidence) -> &[Span] {
        self.tokens.get(evidence.tokens.clone()).unwrap_or_default()
    }

    /// The spans of sentences in a document; empty unless they were asked for.
    #[must_use]
    pub fn sentences(&self, evidence: &Evidence) -> &[Span] {
        self.sentences.get(evidence.sentences.clone()).unwrap_or_default()
    }
}

impl Annotations {
    /// Reads `SPLIT.jsonl` (also compressed). To be called inside a thread pool.
    ///
    /// Sentence spans are kept only where `sentences` asks for them. With `docs` the spans are compared with the
    /// lengths of the documents line by line. `problem` is called for each bad line; it returns the error that ends
    /// the reading.
    pub fn open(
        data_dir: &Path,
        split: &str,
        sentences: bool,
        docs: Option<&Docs>,
        sizes: Sizes,
        mut problem: impl FnMut(Problem) -> Result<(), Problem>,
    ) -> Result<Self, Problem> {
        let name = data_dir.join(format!("{split}.jsonl"));
        let path = lines::find(&name).unwrap_or(name);
        let mut found =
            Self { path: path.clone(), classes: Vec::new(), table: Table::default(), has_sentences: sentences };
        let mut classes = HashMap::new();
        lines::stream(
            &path,
            sizes,
            |block| read_block(block, sentences, docs),
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

    /// Reads an entry into `out`, in place of what was there.
    pub fn decode(&self, entry: &Entry<'_>, out: &mut Annotation) {
        out.classes.clear();
        out.docs.clear();
        out.tokens.clear();
        out.sentences.clear();
        // Entries are written by `encode` alone, so they never end early.
        let _ = decode(entry.name, entry.record, self.has_sentences, out);
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
            table::put(&mut record, 1);
            table::put(&mut record, class as u64);
            record.extend_from_slice(evidence);
            if let Some(earlier) = self.table.get(id) {
                let mut both = Annotation::default();
                let _ = decode(id, earlier.record, self.has_sentences, &mut both);
                let _ = decode(id, &record, self.has_sentences, &mut both);
                record = encode(id, &both, self.has_sentences);
            }
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

fn read_block(block: &[u8], sentences: bool, docs: Option<&Docs>) -> Parsed<Block> {
    let (mut lines, mut outcome) = (0, Block::default());
    let mut spans = Vec::new();
    for line in lines::split(block) {
        lines += 1;
        if let Err(fault) = read_line(line, sentences, docs, &mut spans, &mut outcome.entries) {
            outcome.faults.push((lines, fault));
        }
    }
    Parsed { lines, outcome }
}

/// One evidence: where its spans are.
struct Item {
    docid: String,
    tokens: Span,
    sentences: Span,
}

fn read_line(
    line: &[u8],
    sentences: bool,
    docs: Option<&Docs>,
    items: &mut Vec<Item>,
    out: &mut Vec<u8>,
) -> Outcome<()> {
    let (mut id, mut class, mut has_evidence) = (None, None, false);
    Parser::whole_object(lines::as_text(line)?, |p, key| {
        match key.as_ref() {
            "annotation_id" => id = Some(p.string()?),
            "classification" => class = Some(if p.null() { None } else { Some(p.string()?) }),
            "evidences" => {
                items.clear();
                has_evidence = true;
                p.list(|group| group.list(|evidence| read_evidence(evidence, sentences, docs, items)))?;
            }
            _ => p.skip()?,
        }
        Ok(())
    })?;
    let missing = |field: &str, expected: &str| Fault::new("nothing", expected).within(field);
    let id = id.ok_or_else(|| missing("annotation_id", "text"))?;
    let class = class.ok_or_else(|| missing("classification", "the name of a class"))?;
    if !has_evidence {
        return Err(missing("evidences", "a list of lists of evidence"));
    }
    table::put_bytes(out, id.as_bytes());
    table::put_bytes(out, class.map_or_else(String::new, |name| format!("={name}")).as_bytes());
    table::put_bytes(out, &encode_evidence(id.as_bytes(), items, sentences));
    Ok(())
}

fn read_evidence(p: &mut Parser<'_>, sentences: bool, docs: Option<&Docs>, items: &mut Vec<Item>) -> Outcome<()> {
    // An evidence that does not say where it is has -1 there, as in the reference reader.
    let nowhere = Span { start: -1, end: -1 };
    let (mut docid, mut at, mut sentence) = (None, nowhere, nowhere);
    p.object(|p, key| {
        match key.as_ref() {
            "docid" => docid = Some(p.string()?.into_owned()),
            "start_token" => at.start = p.integer()?,
            "end_token" => at.end = p.integer()?,
            "start_sentence" if sentences => sentence.start = p.integer()?,
            "end_sentence" if sentences => sentence.end = p.integer()?,
            _ => p.skip()?,
        }
        Ok(())
    })?;
    let docid = docid.ok_or_else(|| Fault::new("nothing", "the name of a document").within("docid"))?;
    if let Some(docs) = docs {
        let lengths = docs.lengths(&docid).map_err(|fault| fault.within("docid"))?;
        inside(at, lengths.tokens).map_err(|fault| fault.within("start_token, end_token"))?;
        if sentences {
            inside(sentence, lengths.sentences).map_err(|fault| fault.within("start_sentence, end_sentence"))?;
        }
    }
    items.push(Item { docid, tokens: at, sentences: sentence });
    Ok(())
}

/// A fault if a span has a position that a list of that length lacks; -1 is its last one, as in Python.
pub fn inside(span: Span, length: usize) -> Outcome<()> {
    let length = length as i64;
    if span.is_empty() || (span.start >= -length && span.end <= length) {
        return Ok(());
    }
    Err(Fault::new(format!("[{}, {})", span.start, span.end), format!("positions from {} to {length}", -length)))
}

/// Sets the positions of a span in a list, from its end where they are negative, as Python's indexing does.
pub fn mark(span: Span, marks: &mut [bool]) -> Outcome<()> {
    if span.is_empty() {
        return Ok(());
    }
    inside(span, marks.len())?;
    let length = marks.len() as i64;
    let (from_end, from_start) = ((span.start, span.end.min(0)), (span.start.max(0), span.end));
    for (start, end) in [(from_end.0 + length, from_end.1 + length), from_start] {
        if start < end
            && let Some(part) = marks.get_mut(start as usize..end as usize)
        {
            part.fill(true);
        }
    }
    Ok(())
}

/// A fault if a document with evidence is missing, or a span lies outside its document.
pub fn check(annotation: &Annotation, docs: &Docs, tokens: bool) -> Outcome<()> {
    for evidence in &annotation.docs {
        let Lengths { tokens: n, sentences } = docs.lengths(&evidence.docid)?;
        if tokens {
            annotation.tokens(evidence).iter().try_for_each(|&span| inside(span, n))?;
        }
        annotation.sentences(evidence).iter().try_for_each(|&span| inside(span, sentences))?;
    }
    Ok(())
}

fn encode_evidence(id: &[u8], items: &mut [Item], sentences: bool) -> Vec<u8> {
    items.sort_by(|a, b| a.docid.cmp(&b.docid));
    let mut annotation = Annotation::default();
    for group in items.chunk_by(|a, b| a.docid == b.docid) {
        let docid = group.first().map(|item| item.docid.clone()).unwrap_or_default();
        let mut tokens: Vec<Span> = group.iter().map(|item| item.tokens).collect();
        let mut places: Vec<Span> = group.iter().map(|item| item.sentences).collect();
        annotation.push(docid, &mut tokens, &mut places);
    }
    let mut out = Vec::new();
    annotation.write(id, sentences, &mut out);
    out
}

impl Annotation {
    fn push(&mut self, docid: String, tokens: &mut Vec<Span>, sentences: &mut Vec<Span>) {
        spans::sort(tokens);
        spans::sort(sentences);
        let (first_token, first_sentence) = (self.tokens.len(), self.sentences.len());
        self.tokens.extend_from_slice(tokens);
        self.sentences.extend_from_slice(sentences);
        let (tokens, sentences) = (first_token..self.tokens.len(), first_sentence..self.sentences.len());
        self.docs.push(Evidence { docid, tokens, sentences });
    }

    /// Appends the documents and their spans.
    fn write(&self, id: &[u8], sentences: bool, out: &mut Vec<u8>) {
        table::put(out, self.docs.len() as u64);
        for evidence in &self.docs {
            // Most annotations are of one document that has their own name: an empty name says so.
            let docid = evidence.docid.as_bytes();
            if docid == id {
                table::put(out, 0);
            } else {
                table::put(out, docid.len() as u64 + 1);
                out.extend_from_slice(docid);
            }
            write_spans(self.tokens(evidence), out);
            if sentences {
                write_spans(self.sentences(evidence), out);
            }
        }
    }
}

fn write_spans(spans: &[Span], out: &mut Vec<u8>) {
    table::put(out, spans.len() as u64);
    for span in spans {
        table::put_signed(out, span.start);
        table::put_signed(out, span.end.wrapping_sub(span.start));
    }
}

fn encode(id: &[u8], both: &Annotation, sentences: bool) -> Vec<u8> {
    let mut out = Vec::new();
    table::put(&mut out, both.classes.len() as u64);
    for class in &both.classes {
        table::put(&mut out, class.map_or(0, |c| c as u64 + 1));
    }
    let mut items = Vec::new();
    for evidence in &both.docs {
        let nowhere = Span { start: -1, end: -1 };
        let (tokens, places) = (both.tokens(evidence), both.sentences(evidence));
        for i in 0..tokens.len().max(places.len()) {
            // The shorter list is filled up with a span that it has already.
            let pick = |spans: &[Span]| spans.get(i).or(spans.first()).copied().unwrap_or(nowhere);
            items.push(Item { docid: evidence.docid.clone(), tokens: pick(tokens), sentences: pick(places) });
        }
    }
    out.extend(encode_evidence(id, &mut items, sentences));
    out
}

/// Adds a record to `out`; none where the bytes end too early.
fn decode(id: &[u8], mut record: &[u8], sentences: bool, out: &mut Annotation) -> Option<()> {
    let from = &mut record;
    for _ in 0..table::take(from)? {
        out.classes.push((table::take(from)? as usize).checked_sub(1));
    }
    for _ in 0..table::take(from)? {
        let docid = match (table::take(from)? as usize).checked_sub(1) {
            None => id,
            Some(length) => {
                let (docid, rest) = from.split_at_checked(length)?;
                *from = rest;
                docid
            }
        };
        let (first_token, first_sentence) = (out.tokens.len(), out.sentences.len());
        read_spans(from, &mut out.tokens)?;
        if sentences {
            read_spans(from, &mut out.sentences)?;
        }
        let (tokens, sentences) = (first_token..out.tokens.len(), first_sentence..out.sentences.len());
        out.docs.push(Evidence { docid: String::from_utf8_lossy(docid).into_owned(), tokens, sentences });
    }
    Some(())
}

fn read_spans(from: &mut &[u8], out: &mut Vec<Span>) -> Option<()> {
    for _ in 0..table::take(from)? {
        let start = table::take_signed(from)?;
        out.push(Span { start, end: start.wrapping_add(table::take_signed(from)?) });
    }
    Some(())
}
