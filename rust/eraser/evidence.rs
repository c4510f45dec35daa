//! The evidence of an annotation, and the few bytes it is kept in.

use std::ops::Range;

use crate::eraser::docs::{Docs, Lengths};
use crate::eraser::json::Outcome;
use crate::eraser::spans::{self, Span, inside};
use crate::eraser::table;

/// The evidence and classes of one id. Several annotations of one id, which nobody forbids, are one of these.
#[derive(Debug, Default)]
pub struct Annotation {
    /// The class of each annotation of this id, as a position in [`crate::eraser::annotations::Annotations::classes`]; none = null.
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

/// One evidence: where it is.
#[derive(Debug)]
pub struct Item {
    /// Its group, counted from 0.
    pub group: usize,
    /// The document.
    pub docid: String,
    /// Its tokens.
    pub tokens: Span,
    /// Its sentences.
    pub sentences: Span,
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

/// The record of the evidence of an annotation, which it sorts.
#[must_use]
pub fn encode(id: &[u8], items: &mut [Item], sentences: bool) -> Vec<u8> {
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
    /// Takes everything out and keeps the memory.
    pub fn clear(&mut self) {
        self.classes.clear();
        self.docs.clear();
        self.tokens.clear();
        self.sentences.clear();
    }

    /// The evidence in a document, if there is any.
    #[must_use]
    pub fn evidence(&self, docid: &str) -> Option<&Evidence> {
        let at = self.docs.binary_search_by(|evidence| evidence.docid.as_str().cmp(docid)).ok()?;
        self.docs.get(at)
    }

    /// Makes what was read from several records one: each document once, its spans in order and none twice.
    pub fn unite(&mut self) {
        let mut all = std::mem::take(self);
        self.classes = std::mem::take(&mut all.classes);
        all.docs.sort_by(|a, b| a.docid.cmp(&b.docid));
        for group in all.docs.chunk_by(|a, b| a.docid == b.docid) {
            let docid = group.first().map(|evidence| evidence.docid.clone()).unwrap_or_default();
            let mut tokens: Vec<Span> = group.iter().flat_map(|evidence| all.tokens(evidence)).copied().collect();
            let mut places: Vec<Span> = group.iter().flat_map(|evidence| all.sentences(evidence)).copied().collect();
            self.push(docid, &mut tokens, &mut places);
        }
    }

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

/// Adds a class and the record of its evidence to `out`; none where the bytes end too early.
pub fn decode(id: &[u8], mut record: &[u8], sentences: bool, out: &mut Annotation) -> Option<()> {
    let from = &mut record;
    out.classes.push((table::take(from)? as usize).checked_sub(1));
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
