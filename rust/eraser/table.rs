//! A hash table from names to short records that costs little more than their bytes.
//!
//! Names and records lie one after the other in one array and the slots hold positions in it: about ten bytes an
//! entry beside its contents, where a map of strings costs a hundred.

use std::hash::{BuildHasher, RandomState};

/// How full the slots may be: 3/4.
const FULL: (usize, usize) = (3, 4);

/// Why an entry cannot be added: positions are 32 bits wide.
pub const TOO_MANY: &str = "more than 4 GiB of names and records";

/// Names and their records.
#[derive(Debug, Default)]
pub struct Table {
    /// Entries: length of the name, name, length of the record, record.
    entries: Vec<u8>,
    /// Position of an entry plus one; 0 = free. As many as a power of two.
    slots: Vec<u32>,
    used: usize,
    hasher: RandomState,
}

/// An entry: where it is, and its record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry<'a> {
    /// Position, different for every entry and below [`Table::size`].
    pub at: usize,
    /// The name.
    pub name: &'a [u8],
    /// The record.
    pub record: &'a [u8],
}

impl Table {
    /// Number of bytes of all entries.
    #[must_use]
    pub fn size(&self) -> usize {
        self.entries.len()
    }

    /// Number of names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether there is no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The entry of a name.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<Entry<'_>> {
        let slot = *self.slots.get(self.find(name)?)?;
        self.entry(slot)
    }

    /// Adds an entry, in place of an earlier one of that name; false where positions are used up.
    #[must_use]
    pub fn set(&mut self, name: &[u8], record: &[u8]) -> bool {
        if (self.used + 1) * FULL.1 > self.slots.len() * FULL.0 {
            self.grow();
        }
        let at = self.entries.len();
        let Some(slot) = self.find(name) else { return false };
        let Ok(position) = u32::try_from(at + 1) else { return false };
        put(&mut self.entries, name.len() as u64);
        self.entries.extend_from_slice(name);
        put(&mut self.entries, record.len() as u64);
        self.entries.extend_from_slice(record);
        if let Some(slot) = self.slots.get_mut(slot) {
            self.used += usize::from(*slot == 0);
            *slot = position;
        }
        true
    }

    /// The entry at a position.
    #[must_use]
    pub fn at(&self, at: usize) -> Option<Entry<'_>> {
        self.read(at).map(|(entry, _)| entry)
    }

    /// All entries, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let (entry, end) = self.read(at)?;
            at = end;
            Some(entry)
        })
        // What a later entry of the same name replaced is still there, but its name leads elsewhere.
        .filter(|entry| self.get(entry.name).is_some_and(|found| found.at == entry.at))
    }

    fn entry(&self, slot: u32) -> Option<Entry<'_>> {
        self.at((slot as usize).checked_sub(1)?)
    }

    /// The entry at a position, and where the next one starts.
    fn read(&self, at: usize) -> Option<(Entry<'_>, usize)> {
        let mut rest = self.entries.get(at..)?;
        let name = take_bytes(&mut rest)?;
        let record = take_bytes(&mut rest)?;
        Some((Entry { at, name, record }, self.entries.len() - rest.len()))
    }

    /// The slot that holds a name, or the free one where it belongs; none where there are no slots.
    fn find(&self, name: &[u8]) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut slot = self.hasher.hash_one(name) as usize & mask;
        loop {
            match self.entry(*self.slots.get(slot)?) {
                Some(entry) if entry.name != name => slot = (slot + 1) & mask,
                _ => return Some(slot),
            }
        }
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(64);
        let old = std::mem::replace(&mut self.slots, vec![0; size]);
        for position in old {
            let Some(entry) = self.entry(position) else { continue };
            let (hash, mask) = (self.hasher.hash_one(entry.name) as usize, size - 1);
            let free = (0..size).map(|step| (hash + step) & mask).find(|&s| self.slots.get(s) == Some(&0));
            if let Some(slot) = free.and_then(|s| self.slots.get_mut(s)) {
                *slot = position;
            }
        }
    }
}

/// Appends a number, seven bits a byte.
pub fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a number that may be negative.
pub fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, ((number << 1) ^ (number >> 63)) as u64);
}

/// Appends bytes and their length.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Takes a number from the front; none where the bytes end.
pub fn take(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for (i, &byte) in from.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            *from = from.get(i + 1..)?;
            return Some(number);
        }
    }
    None
}

/// Takes a number that may be negative from the front.
pub fn take_signed(from: &mut &[u8]) -> Option<i64> {
    take(from).map(|number| (number >> 1) as i64 ^ -((number & 1) as i64))
}

/// Takes bytes from the front.
pub fn take_bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take(from)?).ok()?;
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn behaves_as_a_map(pairs in prop::collection::vec(("[a-c]{0,3}", prop::collection::vec(any::<u8>(), 0..5)), 0..300)) {
            let (mut table, mut map) = (Table::default(), HashMap::new());
            for (name, record) in &pairs {
                prop_assert!(table.set(name.as_bytes(), record));
                map.insert(name.as_bytes(), record.as_slice());
            }
            prop_assert_eq!(table.len(), map.len());
            for (name, record) in &map {
                prop_assert_eq!(table.get(name).map(|e| e.record), Some(*record));
            }
            prop_assert_eq!(table.get(b"zz"), None);
            prop_assert_eq!(table.iter().map(|e| (e.name, e.record)).collect::<HashMap<_, _>>(), map);
        }

        #[test]
        fn numbers_come_back(number in any::<i64>(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut out = Vec::new();
            put_signed(&mut out, number);
            put_bytes(&mut out, &bytes);
            let mut rest = out.as_slice();
            prop_assert_eq!(take_signed(&mut rest), Some(number));
            prop_assert_eq!(take_bytes(&mut rest), Some(bytes.as_slice()));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn hostile_bytes_end_in_none(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let mut rest = bytes.as_slice();
            while take_bytes(&mut rest).is_some() {}
        }
    }
}
