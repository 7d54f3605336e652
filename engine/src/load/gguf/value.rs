//! The values of GGUF's metadata, and the cursor that takes a file's head apart.

use super::Stop;

/// The deepest nesting of arrays that is read.
const DEPTH: usize = 4;

/// A place in the first bytes of a file.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0 }
    }

    /// Where it is.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next `n` bytes.
    pub(super) fn take(&mut self, n: u64) -> Result<&'a [u8], Stop> {
        let end = usize::try_from(n).ok().and_then(|n| self.at.checked_add(n));
        let bytes = end.and_then(|end| self.bytes.get(self.at..end)).ok_or(Stop::More)?;
        self.at += bytes.len();
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Stop> {
        Ok(u32::read(self.take(4)?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Stop> {
        Ok(u64::read(self.take(8)?))
    }

    /// A length and so many bytes of UTF-8; `what` names it.
    pub(super) fn string(&mut self, what: impl Fn() -> String) -> Result<String, Stop> {
        let length = self.u64()?;
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|e| Stop::bad(what(), e, "UTF-8"))?;
        Ok(text.to_string())
    }
}

/// Numbers in little-endian order.
trait Number: Copy {
    /// Exactly the bytes of one.
    fn read(bytes: &[u8]) -> Self;
    fn write(self, out: &mut Vec<u8>);
}

macro_rules! kinds {
    ($($name:ident($of:ty) = $code:literal,)*) => {
        $(impl Number for $of {
            fn read(bytes: &[u8]) -> $of {
                <$of>::from_le_bytes(bytes.try_into().expect("as many bytes as were taken for it"))
            }

            fn write(self, out: &mut Vec<u8>) {
                out.extend(self.to_le_bytes());
            }
        })*

        /// A value.
        #[derive(Debug, Clone, PartialEq)]
        #[expect(missing_docs, reason = "they are the types of these names")]
        pub enum Value {
            $($name($of),)*
            Bool(bool),
            String(String),
            Array(Array),
        }

        /// An array: all elements of one type.
        #[derive(Debug, Clone, PartialEq)]
        #[expect(missing_docs, reason = "they are the types of these names")]
        pub enum Array {
            $($name(Vec<$of>),)*
            Bool(Vec<bool>),
            String(Vec<String>),
            Array(Vec<Array>),
        }

        impl Value {
            /// The value of a type at the cursor, of the metadata `key`.
            pub(super) fn read(kind: u32, cursor: &mut Cursor<'_>, key: &str) -> Result<Value, Stop> {
                Ok(match kind {
                    $($code => Value::$name(<$of>::read(cursor.take(size_of::<$of>() as u64)?)),)*
                    BOOL => Value::Bool(read_bool(cursor, key)?),
                    STRING => Value::String(cursor.string(|| format!("the text of {key}"))?),
                    ARRAY => Value::Array(Array::read(cursor, key, 1)?),
                    other => return Err(Stop::bad(format!("the type of {key}"), other, "0 to 12")),
                })
            }

            /// Appends the type's number and the value.
            pub(super) fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $(Value::$name(x) => { u32::write($code, out); x.write(out) })*
                    Value::Bool(x) => { u32::write(BOOL, out); out.push(u8::from(*x)) }
                    Value::String(x) => { u32::write(STRING, out); write_string(x, out) }
                    Value::Array(x) => { u32::write(ARRAY, out); x.write(out) }
                }
            }

            /// An integer of any type.
            pub fn as_integer(&self) -> Option<i128> {
                match *self {
                    Value::U8(x) => Some(x.into()),
                    Value::I8(x) => Some(x.into()),
                    Value::U16(x) => Some(x.into()),
                    Value::I16(x) => Some(x.into()),
                    Value::U32(x) => Some(x.into()),
                    Value::I32(x) => Some(x.into()),
                    Value::U64(x) => Some(x.into()),
                    Value::I64(x) => Some(x.into()),
                    _ => None,
                }
            }
        }

        impl Array {
            fn read(cursor: &mut Cursor<'_>, key: &str, depth: usize) -> Result<Array, Stop> {
                let (kind, count) = (cursor.u32()?, cursor.u64()?);
                // Nothing is set aside for a count that the bytes don't bear out.
                Ok(match kind {
                    $($code => {
                        let bytes = cursor.take(count.checked_mul(size_of::<$of>() as u64).ok_or(Stop::More)?)?;
                        Array::$name(bytes.chunks(size_of::<$of>()).map(<$of>::read).collect())
                    })*
                    BOOL => Array::Bool((0..count).map(|_| read_bool(cursor, key)).collect::<Result<_, _>>()?),
                    STRING => {
                        let string = |i| cursor.string(|| format!("element {i} of {key}"));
                        Array::String((0..count).map(string).collect::<Result<_, _>>()?)
                    }
                    ARRAY if depth < DEPTH => {
                        Array::Array((0..count).map(|_| Array::read(cursor, key, depth + 1)).collect::<Result<_, _>>()?)
                    }
                    ARRAY => return Err(Stop::bad(format!("the nesting of {key}"), "deeper", format!("{DEPTH} arrays"))),
                    other => return Err(Stop::bad(format!("the element type of {key}"), other, "0 to 12")),
                })
            }

            fn write(&self, out: &mut Vec<u8>) {
                let mut head = |kind: u32, count: usize| {
                    kind.write(out);
                    (count as u64).write(out);
                };
                match self {
                    $(Array::$name(x) => { head($code, x.len()); x.iter().for_each(|x| x.write(out)) })*
                    Array::Bool(x) => { head(BOOL, x.len()); out.extend(x.iter().map(|x| u8::from(*x))) }
                    Array::String(x) => { head(STRING, x.len()); x.iter().for_each(|x| write_string(x, out)) }
                    Array::Array(x) => { head(ARRAY, x.len()); x.iter().for_each(|x| x.write(out)) }
                }
            }
        }
    };
}

const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

kinds! {
    U8(u8) = 0,
    I8(i8) = 1,
    U16(u16) = 2,
    I16(i16) = 3,
    U32(u32) = 4,
    I32(i32) = 5,
    F32(f32) = 6,
    U64(u64) = 10,
    I64(i64) = 11,
    F64(f64) = 12,
}

impl Value {
    /// A float of either type, or an integer.
    pub fn as_number(&self) -> Option<f64> {
        match *self {
            Value::F32(x) => Some(x.into()),
            Value::F64(x) => Some(x),
            _ => self.as_integer().map(|x| x as f64),
        }
    }

    /// A text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(x) => Some(x),
            _ => None,
        }
    }
}

impl std::fmt::Display for Value {
    /// Short, for messages: of an array its length.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Bool(x) => write!(f, "{x}"),
            Value::String(x) => write!(f, "{:?}", x.chars().take(80).collect::<String>()),
            Value::Array(_) => f.write_str("an array"),
            number => write!(f, "{}", number.as_number().unwrap_or_default()),
        }
    }
}

fn read_bool(cursor: &mut Cursor<'_>, key: &str) -> Result<bool, Stop> {
    match cursor.take(1)?[0] {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Stop::bad(format!("a truth value of {key}"), other, "0 or 1")),
    }
}

/// Appends a length and the text.
pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    (text.len() as u64).write(out);
    out.extend(text.as_bytes());
}
