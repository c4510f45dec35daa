//! Which instances were there: every annotation wants one, and none may come twice.

use crate::eraser::annotations::{Annotations, Entry};
use crate::eraser::json::{Fault, Outcome};
use crate::eraser::table::Table;

/// What [`Seen`] holds, for other machines: a bit for each annotation, and the names of instances without one.
pub type Content = (Vec<u64>, Vec<Vec<u8>>);

/// The instances seen so far: a bit for each annotation, and the names of those without one.
#[derive(Debug)]
pub struct Seen {
    annotated: Vec<u64>,
    others: Table,
}

impl Seen {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(annotations: &Annotations) -> Self {
        Self { annotated: vec![0; annotations.size() / 64 + 1], others: Table::default() }
    }

    /// Notes an instance by the position of its annotation, or by its name; a fault if it was there already.
    pub fn note(&mut self, id: &Result<usize, String>, annotations: &Annotations) -> Outcome<()> {
        let is_new = match id {
            Ok(at) => {
                let before = self.has(*at);
                if let Some(word) = self.annotated.get_mut(at / 64) {
                    *word |= 1 << (at % 64);
                }
                !before
            }
            Err(name) => self.others.get(name.as_bytes()).is_none() && self.others.set(name.as_bytes(), &[]),
        };
        if is_new {
            return Ok(());
        }
        let name = id.as_ref().map_or_else(Clone::clone, |at| annotations.name(*at));
        Err(Fault::new(format!("{name:?} again"), "every instance once").within("annotation_id"))
    }

    /// The annotations that no instance had, in the order of their file.
    pub fn missing<'s>(&'s self, annotations: &'s Annotations) -> impl Iterator<Item = Entry<'s>> {
        annotations.iter().filter(|entry| !self.has(entry.at))
    }

    /// What was seen, for [`Seen::merge`] elsewhere.
    #[must_use]
    pub fn content(&self) -> Content {
        (self.annotated.clone(), self.others.iter().map(|entry| entry.name.to_vec()).collect())
    }

    /// Adds what was seen elsewhere; a fault if it was seen here already, or was seen with other annotations.
    pub fn merge(&mut self, (annotated, others): &Content, annotations: &Annotations) -> Outcome<()> {
        if annotated.len() != self.annotated.len() {
            return Err(Fault::new("a part made with other annotations", "the same files everywhere"));
        }
        for (i, &word) in annotated.iter().enumerate() {
            let mut rest = word;
            while rest != 0 {
                self.note(&Ok(i * 64 + rest.trailing_zeros() as usize), annotations)?;
                rest &= rest - 1;
            }
        }
        others.iter().try_for_each(|name| self.note(&Err(String::from_utf8_lossy(name).into_owned()), annotations))
    }

    fn has(&self, at: usize) -> bool {
        self.annotated.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }
}
