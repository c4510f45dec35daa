//! Lines of JSON as Python reads them: `NaN` and `Infinity` are numbers, the last of equal keys wins, and numbers are
//! the nearest float64. The crate `jiter` parses; it bounds nesting, so no input can exhaust the stack.

use std::borrow::Cow;

use jiter::{JsonError, JsonErrorType, JsonValue, JsonValueScratch, PartialMode};

use crate::problem::{Fault, Outcome};

/// How much of a line or value a fault shows.
const SHOWN: usize = 40;

/// Stands for half a surrogate pair, which Python keeps in text and Rust cannot: no character of any language.
const LONE: &str = "\\uffff";

/// A value of a line.
pub type Value<'a> = JsonValue<'a>;

/// Memory of the parser that is used again from line to line.
pub type Scratch<'j> = JsonValueScratch<'j>;

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

    /// Whether the field is there, and whether it is null.
    pub fn state(&self) -> (bool, bool) {
        (self.has_key(), matches!(self, Self::Null))
    }
}

/// The fields of an object, equal ones included.
#[derive(Debug, Clone, Copy)]
pub struct Object<'v, 'a>(pub &'v [(Cow<'a, str>, Value<'a>)]);

impl<'v, 'a> Object<'v, 'a> {
    fn get(self, name: &str) -> Option<&'v Value<'a>> {
        self.0.iter().rfind(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The value of a name, null or not; none where there is no such field.
    pub fn any<T>(self, name: &str, read: impl FnOnce(&'v Value<'a>) -> Outcome<T>) -> Outcome<Option<T>> {
        self.get(name).map(read).transpose().map_err(|fault| fault.within(name))
    }

    /// The field of a name.
    pub fn field<T>(self, name: &str, read: impl FnOnce(&'v Value<'a>) -> Outcome<T>) -> Outcome<Field<T>> {
        match self.get(name) {
            None => Ok(Field::Missing),
            Some(Value::Null) => Ok(Field::Null),
            Some(value) => read(value).map(Field::Given).map_err(|fault| fault.within(name)),
        }
    }

    /// The field of a name, null or not; a fault where there is none.
    pub fn need<T>(self, name: &str, expected: &str, read: impl FnOnce(&'v Value<'a>) -> Outcome<T>) -> Outcome<T> {
        self.any(name, read)?.ok_or_else(|| Fault::new("nothing", expected).within(name))
    }
}

/// What `read` makes of the one object that a line must be.
pub fn read<'j, T>(
    line: &'j [u8],
    scratch: &mut Scratch<'j>,
    read: impl FnOnce(Object<'_, '_>) -> Outcome<T>,
) -> Outcome<T> {
    as_text(line)?;
    match scratch.parse(line, true, PartialMode::Off) {
        Ok(value) => read(object(&value)?),
        Err(JsonError {
            error_type: JsonErrorType::LoneLeadingSurrogateInHexEscape | JsonErrorType::UnexpectedEndOfHexEscape,
            ..
        }) => {
            let line = without_lone(line);
            let value = Value::parse(&line, true).map_err(|error| syntax(&line, &error))?;
            read(object(&value)?)
        }
        Err(error) => Err(syntax(line, &error)),
    }
}

/// Bytes as text.
pub fn as_text(line: &[u8]) -> Outcome<&str> {
    std::str::from_utf8(line).map_err(|error| {
        let at = error.valid_up_to();
        let byte = line.get(at).copied().unwrap_or_default();
        Fault::new(format!("byte 0x{byte:02x}"), "UTF-8").within(&format!("column {}", at + 1))
    })
}

/// An object.
pub fn object<'v, 'a>(value: &'v Value<'a>) -> Outcome<Object<'v, 'a>> {
    if let Value::Object(fields) = value { Ok(Object(fields)) } else { Err(wrong(value, "an object")) }
}

/// A list, each item as `read` makes it.
pub fn list<'v, 'a, T>(value: &'v Value<'a>, mut read: impl FnMut(&'v Value<'a>) -> Outcome<T>) -> Outcome<Vec<T>> {
    let Value::Array(items) = value else { return Err(wrong(value, "a list")) };
    let mut found = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        found.push(read(item).map_err(|fault| fault.at(i))?);
    }
    Ok(found)
}

/// Text. A lone surrogate is refused: it can be neither written nor compared.
pub fn text<'v>(value: &'v Value<'_>) -> Outcome<&'v str> {
    if let Value::Str(text) = value { name(text) } else { Err(wrong(value, "text")) }
}

/// The name of a field as text.
pub fn name(text: &str) -> Outcome<&str> {
    if text.contains('\u{ffff}') { Err(Fault::new("a lone surrogate", "text")) } else { Ok(text) }
}

/// A number; `true` is 1 and `false` is 0, as in Python.
pub fn number(value: &Value<'_>) -> Outcome<f64> {
    match value {
        Value::Float(number) => Ok(*number),
        Value::Int(number) => Ok(*number as f64),
        Value::Bool(flag) => Ok(f64::from(u8::from(*flag))),
        Value::BigInt(digits) => digits.to_string().parse().map_err(|_| wrong(value, "a number")),
        _ => Err(wrong(value, "a number")),
    }
}

/// A whole number.
pub fn integer(value: &Value<'_>) -> Outcome<i64> {
    match value {
        Value::Int(number) => Ok(*number),
        Value::BigInt(_) => Err(wrong(value, "a whole number of at most 64 bits")),
        _ => Err(wrong(value, "a whole number")),
    }
}

/// A fault that shows a value.
pub fn wrong(value: &Value<'_>, expected: &str) -> Fault {
    let found = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        Value::BigInt(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Str(text) => format!("{:?}", cut(text)),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(fields) => format!("an object of {} fields", fields.len()),
    };
    Fault::new(cut(&found), expected)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The fault of a line that is not JSON.
fn syntax(line: &[u8], error: &JsonError) -> Fault {
    let rest = String::from_utf8_lossy(line.get(error.index..).unwrap_or_default());
    let found = match rest.trim_end() {
        "" => "the end of the line".to_owned(),
        rest => format!("`{}`", cut(rest)),
    };
    let reason = error.error_type.to_string();
    let expected = match reason.strip_prefix("expected ") {
        Some("ident" | "value") => "a value".to_owned(),
        Some(symbol) => symbol.to_owned(),
        None => format!("JSON ({reason})"),
    };
    Fault::new(found, expected).within(&format!("column {}", error.index + 1))
}

/// The line with [`LONE`] for every half of a surrogate pair.
fn without_lone(line: &[u8]) -> Vec<u8> {
    let code = |at: usize| {
        let digits = line.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let (mut out, mut at) = (Vec::with_capacity(line.len()), 0);
    while let Some(&byte) = line.get(at) {
        let length = match (code(at), code(at + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                out.extend_from_slice(LONE.as_bytes());
                at += 6;
                continue;
            }
            _ if byte == b'\\' => 2,
            _ => 1,
        };
        out.extend_from_slice(line.get(at..at + length).unwrap_or(&[byte]));
        at += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(line: &str, of: impl Fn(Object<'_, '_>) -> Outcome<T>) -> Outcome<T> {
        super::read(line.as_bytes(), &mut Scratch::new(), of)
    }

    #[test]
    fn lone_surrogates_are_kept_in_text_that_is_counted_and_refused_in_names() {
        for lone in ["\\ud800", "\\udc00", "\\ud800\\ud800", "a\\udfff\\\\ud", "\\ud83dx"] {
            let line = format!("{{\"x\": 1, \"y\": \"{lone}\", \"z\": \"\\\\ud800 \\ud83d\\ude00\"}}");
            assert_eq!(read(&line, |o| o.need("x", "", integer)), Ok(1), "{lone}");
            let whole = read(&line, |o| o.need("z", "", |value| text(value).map(str::to_owned)));
            assert_eq!(whole, Ok("\\ud800 \u{1f600}".to_owned()));
            let name = read(&line, |o| o.need("y", "", |value| text(value).map(drop)));
            assert!(name.is_err_and(|fault| fault.found == "a lone surrogate"));
        }
    }

    #[test]
    fn what_is_no_json_is_named_by_its_column() {
        for (line, column, message) in [
            ("{\"a\": 1,}", 9, "JSON (trailing comma)"),
            ("{\"a\": 1} x", 10, "JSON (trailing characters)"),
            ("{\"a\" 1}", 6, "`:`"),
            ("{\"a\": tru}", 10, "a value"),
            ("{\"a\": [1 2]}", 10, "`,` or `]`"),
        ] {
            let fault = read(line, |_| Ok(())).err();
            let is_so = |f: &Fault| f.field == format!("column {column}") && f.expected.starts_with(message);
            assert!(fault.as_ref().is_some_and(is_so), "{fault:?}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        for (depth, is_fine) in [(190, true), (210, false), (1_000_000, false)] {
            let line = format!("{{\"a\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(read(&line, |_| Ok(())).is_ok(), is_fine, "{depth}");
        }
    }
}
