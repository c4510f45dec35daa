//! Reads JSON as Python's `json.loads` does: `NaN` and `Infinity` are numbers, the last of equal keys wins, control
//! characters in strings are refused, and numbers are the nearest float64.
//!
//! Values are handed to the caller as they come, borrowed from the text where they hold no escapes; nothing is built
//! that nobody asked for. Nesting is bounded, so no input can exhaust the stack.

use std::borrow::Cow;

/// Deeper nesting than this is refused.
const DEEPEST: usize = 128;

/// Numbers that are words.
const NAMED: [(&str, f64); 5] =
    [("NaN", f64::NAN), ("Infinity", f64::INFINITY), ("-Infinity", f64::NEG_INFINITY), ("true", 1.0), ("false", 0.0)];

/// How much of the text an error shows.
const SHOWN: usize = 40;

/// What is wrong with a line: which field, what was found there, what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The way to the field, as in `rationales[0].docid`, or `column 37` where the text is not JSON.
    pub field: String,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
    /// The text is not JSON here: there is no field to name.
    syntax: bool,
}

impl Fault {
    /// A fault of the value that is being read; the callers add the way to it.
    pub fn new(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { field: String::new(), found: found.into(), expected: expected.into(), syntax: false }
    }

    /// The same fault, seen from the object that holds the field `name`.
    #[must_use]
    pub fn within(mut self, name: &str) -> Self {
        if !self.syntax {
            let dot = if self.field.is_empty() || self.field.starts_with('[') { "" } else { "." };
            self.field = format!("{name}{dot}{}", self.field);
        }
        self
    }

    /// The same fault, seen from the list that holds it at `index`.
    #[must_use]
    pub fn at(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }
}

/// A result of reading a value.
pub type Outcome<T> = Result<T, Fault>;

/// A place in a text and the values that follow.
#[derive(Debug)]
pub struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// Reads `text` from its start.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// Reads the one object that the whole text must be, a field at a time.
    pub fn whole_object(text: &'a str, field: impl FnMut(&mut Self, &Cow<'a, str>) -> Outcome<()>) -> Outcome<()> {
        let mut parser = Self::new(text);
        parser.space();
        parser.object(field)?;
        parser.space();
        if parser.peek().is_some() { Err(parser.syntax("the end of the line")) } else { Ok(()) }
    }

    /// Reads an object; `field` is called with each key and must take the value.
    pub fn object(&mut self, mut field: impl FnMut(&mut Self, &Cow<'a, str>) -> Outcome<()>) -> Outcome<()> {
        self.open(b'{', "an object")?;
        self.space();
        if self.take(b'}') {
            self.depth -= 1;
            return Ok(());
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.syntax("a field name in double quotes"));
            }
            let key = self.string()?;
            self.space();
            if !self.take(b':') {
                return Err(self.syntax("`:`"));
            }
            self.space();
            field(self, &key).map_err(|fault| fault.within(&key))?;
            self.space();
            if self.take(b'}') {
                self.depth -= 1;
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.syntax("`,` or `}`"));
            }
        }
    }

    /// Reads a list; `item` is called for each entry and must take it.
    pub fn list(&mut self, mut item: impl FnMut(&mut Self) -> Outcome<()>) -> Outcome<()> {
        self.open(b'[', "a list")?;
        self.space();
        if self.take(b']') {
            self.depth -= 1;
            return Ok(());
        }
        for index in 0.. {
            self.space();
            item(self).map_err(|fault| fault.at(index))?;
            self.space();
            if self.take(b']') {
                break;
            }
            if !self.take(b',') {
                return Err(self.syntax("`,` or `]`"));
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Takes `null` if it is next.
    pub fn null(&mut self) -> bool {
        self.word("null")
    }

    /// Whether a list or an object is next.
    #[must_use]
    pub fn is_nested(&self) -> bool {
        matches!(self.peek(), Some(b'[' | b'{'))
    }

    /// Reads text. A lone surrogate, which Python keeps, is refused: it can be neither written nor compared.
    pub fn string(&mut self) -> Outcome<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong("text"));
        }
        let start = self.at + 1;
        let plain = self.text.get(start..).map_or(0, plain_length);
        if self.text.as_bytes().get(start + plain) == Some(&b'"') {
            self.at = start + plain + 1;
            return Ok(Cow::Borrowed(self.text.get(start..start + plain).unwrap_or_default()));
        }
        let mut text = String::new();
        if self.unescape(&mut text)? {
            return Err(Fault::new("a lone surrogate", "text"));
        }
        Ok(Cow::Owned(text))
    }

    /// Reads text into `out`, which it clears first; each lone surrogate becomes U+FFFD.
    pub fn text_into(&mut self, out: &mut String) -> Outcome<()> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong("text"));
        }
        out.clear();
        self.unescape(out).map(|_| ())
    }

    /// Reads a number as the nearest float64; `NaN`, `Infinity` and `-Infinity` are numbers, and so are `true` (1) and
    /// `false` (0), as in Python.
    pub fn number(&mut self) -> Outcome<f64> {
        let rest = self.rest();
        let (length, _) = number_length(rest.as_bytes());
        if let Some(Ok(value)) = rest.get(..length).filter(|t| !t.is_empty()).map(str::parse) {
            self.at += length;
            return Ok(value);
        }
        for (name, value) in NAMED {
            if self.word(name) {
                return Ok(value);
            }
        }
        Err(self.wrong("a number"))
    }

    /// Reads a whole number.
    pub fn integer(&mut self) -> Outcome<i64> {
        let rest = self.rest();
        match number_length(rest.as_bytes()) {
            (length, true) => match rest.get(..length).map(str::parse) {
                Some(Ok(value)) => {
                    self.at += length;
                    Ok(value)
                }
                _ => Err(self.wrong("a whole number of at most 64 bits")),
            },
            _ => Err(self.wrong("a whole number")),
        }
    }

    /// Passes over a value of any kind, checking that it is JSON.
    pub fn skip(&mut self) -> Outcome<()> {
        match self.peek() {
            Some(b'{') => self.object(|p, _| p.skip()),
            Some(b'[') => self.list(Self::skip),
            Some(b'"') => self.unescape(&mut String::new()).map(|_| ()),
            Some(b't') if self.word("true") => Ok(()),
            Some(b'f') if self.word("false") => Ok(()),
            Some(b'n') if self.null() => Ok(()),
            _ => self.number().map(|_| ()).map_err(|_| self.syntax("a value")),
        }
    }

    /// A fault that shows what stands here instead of `expected`.
    #[must_use]
    pub fn wrong(&self, expected: &str) -> Fault {
        Fault::new(self.shown(), expected)
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn syntax(&self, expected: &str) -> Fault {
        let field = format!("column {}", self.at + 1);
        Fault { field, found: self.shown(), expected: expected.to_owned(), syntax: true }
    }

    fn shown(&self) -> String {
        let rest = self.rest().trim_end();
        match rest.char_indices().nth(SHOWN) {
            _ if rest.is_empty() => "the end of the line".to_owned(),
            Some((end, _)) => format!("`{}…`", rest.get(..end).unwrap_or_default()),
            None => format!("`{rest}`"),
        }
    }

    fn open(&mut self, bracket: u8, expected: &str) -> Outcome<()> {
        if !self.take(bracket) {
            return Err(self.wrong(expected));
        }
        self.depth += 1;
        if self.depth > DEEPEST { Err(self.syntax("nesting of at most 128 levels")) } else { Ok(()) }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Reads the string that starts here into `out`; says whether a lone surrogate was replaced.
    fn unescape(&mut self, out: &mut String) -> Outcome<bool> {
        self.at += 1;
        let mut lone = false;
        loop {
            let plain = plain_length(self.rest());
            out.push_str(self.rest().get(..plain).unwrap_or_default());
            self.at += plain;
            if self.take(b'"') {
                return Ok(lone);
            }
            if self.peek() != Some(b'\\') {
                return Err(self.syntax("`\"` at the end of the text, and no control character before it"));
            }
            let c = self.escape()?;
            lone |= c.is_none();
            out.push(c.unwrap_or(char::REPLACEMENT_CHARACTER));
        }
    }

    /// Reads one escape sequence; none = a lone surrogate.
    fn escape(&mut self) -> Outcome<Option<char>> {
        let kind = self.text.as_bytes().get(self.at + 1).copied();
        let plain = match kind {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.syntax("an escape sequence")),
        };
        self.at += 2;
        Ok(Some(plain))
    }

    fn unicode_escape(&mut self) -> Outcome<Option<char>> {
        let Some(first) = self.hex(self.at) else { return Err(self.syntax("`\\u` and four hexadecimal digits")) };
        self.at += 6;
        if !(0xD800..0xDC00).contains(&first) {
            return Ok(char::from_u32(first));
        }
        match self.hex(self.at).filter(|second| (0xDC00..0xE000).contains(second)) {
            Some(second) => {
                self.at += 6;
                Ok(char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)))
            }
            None => Ok(None),
        }
    }

    /// The code of the `\uXXXX` that starts at `at`, if one does.
    fn hex(&self, at: usize) -> Option<u32> {
        let digits = self.text.get(at..at + 6)?.strip_prefix("\\u")?;
        if digits.bytes().all(|d| d.is_ascii_hexdigit()) { u32::from_str_radix(digits, 16).ok() } else { None }
    }
}

/// How many bytes of a string come before its end, an escape or a control character.
fn plain_length(text: &str) -> usize {
    const CHUNK: usize = 16;
    let special = |b: u8| b == b'"' || b == b'\\' || b < 0x20;
    let mut length = 0;
    for chunk in text.as_bytes().chunks(CHUNK) {
        // All bytes of the chunk are looked at without a branch between them, which the compiler turns into vectors.
        if chunk.iter().fold(false, |any, &b| any | special(b)) {
            return length + chunk.iter().position(|&b| special(b)).unwrap_or_default();
        }
        length += chunk.len();
    }
    length
}

/// Length of the longest JSON number at the start (0 = none), and whether it is a whole number.
fn number_length(text: &[u8]) -> (usize, bool) {
    let digits = |from: usize| text.iter().skip(from).take_while(|b| b.is_ascii_digit()).count();
    let start = usize::from(text.first() == Some(&b'-'));
    let whole = match text.get(start) {
        Some(b'0') => 1,
        _ => digits(start),
    };
    if whole == 0 {
        return (0, false);
    }
    let (mut length, mut is_whole) = (start + whole, true);
    if text.get(length) == Some(&b'.') {
        let fraction = digits(length + 1);
        if fraction > 0 {
            (length, is_whole) = (length + 1 + fraction, false);
        }
    }
    if matches!(text.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(length + 1), Some(b'+' | b'-')));
        let exponent = digits(length + 1 + sign);
        if exponent > 0 {
            (length, is_whole) = (length + 1 + sign + exponent, false);
        }
    }
    (length, is_whole)
}
