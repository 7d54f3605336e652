//! The head of a GGUF: magic, version, metadata, and the catalogue of its tensors. Every count and size is a claim until the bytes
//! bear it out.

use std::collections::{BTreeMap, BTreeSet};

use super::value::{Cursor, Value, write_string};
use super::{ALIGNMENT, MAGIC, Stop};
use crate::blocks::Format;
use crate::load::checked_len;

/// The longest name of a tensor that is read; ggml's own limit is 63 bytes.
const MAX_NAME: usize = 256;

/// A file's head.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// 2 or 3.
    pub version: u32,
    /// The metadata by key.
    pub metadata: BTreeMap<String, Value>,
    /// The tensors in the file's order.
    pub tensors: Vec<Entry>,
}

/// A tensor of the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name in the file.
    pub name: String,
    /// Sizes, outermost first (the file has the innermost first).
    pub shape: Vec<usize>,
    /// How its elements are held.
    pub format: Format,
    /// Its first byte in the file.
    pub offset: u64,
}

/// ggml's number of a format.
fn code(format: Format) -> u32 {
    match format {
        Format::F32 => 0,
        Format::F16 => 1,
        Format::Q4_0 => 2,
        Format::Q4_1 => 3,
        Format::Q5_0 => 6,
        Format::Q5_1 => 7,
        Format::Q8_0 => 8,
        Format::Q4K => 12,
        Format::Q6K => 14,
        Format::BF16 => 30,
    }
}

/// Names of ggml's formats, for messages about those that are not read.
fn ggml_name(code: u32) -> String {
    let name = match code {
        9 => "q8_1",
        10 => "q2_k",
        11 => "q3_k",
        13 => "q5_k",
        15 => "q8_k",
        16..=23 | 29 => "an iq format",
        24..=27 => "an integer format",
        28 => "f64",
        34 | 35 => "a ternary format",
        39 => "mxfp4",
        _ => return format!("number {code}"),
    };
    format!("{name} (number {code})")
}

/// Parses the head at the start of `bytes`, of a file of `length`.
pub(super) fn parse(bytes: &[u8], length: u64) -> Result<Head, Stop> {
    let mut cursor = Cursor::new(bytes);
    let magic = cursor.take(4)?;
    if magic != MAGIC {
        return Err(Stop::bad("the beginning", format!("{magic:02x?}"), format!("{MAGIC:02x?}, of a GGUF")));
    }
    let version = cursor.u32()?;
    match version {
        2 | 3 => {}
        _ if matches!(version.swap_bytes(), 1..=3) => {
            return Err(Stop::bad("the byte order", "big-endian", "little-endian"));
        }
        other => return Err(Stop::bad("the version", other, "2 or 3")),
    }
    let (n_tensors, n_values) = (cursor.u64()?, cursor.u64()?);
    let mut metadata = BTreeMap::new();
    for i in 0..n_values {
        let key = cursor.string(|| format!("the key of metadata {i}"))?;
        let kind = cursor.u32()?;
        let value = Value::read(kind, &mut cursor, &key)?;
        if metadata.contains_key(&key) {
            return Err(Stop::bad(format!("the key {key}"), "there twice", "one of each"));
        }
        metadata.insert(key, value);
    }
    let alignment = match metadata.get("general.alignment") {
        None => ALIGNMENT,
        Some(value) => match value.as_integer() {
            Some(n @ 1..=1_048_576) if (n as u64).is_power_of_two() => n as u64,
            _ => return Err(Stop::bad("general.alignment", value, "a power of two up to 1048576")),
        },
    };
    let mut tensors = Vec::new();
    for i in 0..n_tensors {
        tensors.push(entry(&mut cursor, i, alignment)?);
    }
    let start = (cursor.at() as u64).next_multiple_of(alignment);
    place(&mut tensors, start, length)?;
    Ok(Head { version, metadata, tensors })
}

/// One line of the catalogue; its offset is still that within the data.
fn entry(cursor: &mut Cursor<'_>, i: u64, alignment: u64) -> Result<Entry, Stop> {
    let name = cursor.string(|| format!("the name of tensor {i}"))?;
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Stop::bad(format!("the name of tensor {i}"), format!("{} bytes", name.len()), format!("1 to {MAX_NAME}")));
    }
    let axes = cursor.u32()?;
    if !(1..=4).contains(&axes) {
        return Err(Stop::bad(format!("the number of axes of {name}"), axes, "1 to 4"));
    }
    let sizes = (0..axes).map(|_| cursor.u64()).collect::<Result<Vec<u64>, _>>()?;
    let kind = cursor.u32()?;
    let offset = cursor.u64()?;
    let known = || Format::ALL.map(|f| f.name()).join(", ");
    let format = Format::ALL.into_iter().find(|f| code(*f) == kind);
    let format =
        format.ok_or_else(|| Stop::bad(format!("the type of {name}"), ggml_name(kind), format!("one of {}", known())))?;
    let shape = sizes.iter().rev().map(|n| usize::try_from(*n).ok().filter(|n| *n > 0)).collect::<Option<Vec<usize>>>();
    let shape = shape.filter(|shape| checked_len(shape).is_some());
    let shape =
        shape.ok_or_else(|| Stop::bad(format!("the shape of {name}"), format!("{sizes:?}"), "sizes that fit in memory"))?;
    let (block, _) = format.block();
    if sizes[0] % block as u64 != 0 {
        return Err(Stop::bad(format!("the row of {name}"), sizes[0], format!("whole blocks of {block}, as {format} has")));
    }
    if offset % alignment != 0 {
        return Err(Stop::bad(format!("the offset of {name}"), offset, format!("a multiple of {alignment}")));
    }
    Ok(Entry { name, shape, format, offset })
}

/// Turns offsets into places in the file, and refuses what lies outside of it or on one another.
fn place(tensors: &mut [Entry], start: u64, length: u64) -> Result<(), Stop> {
    let mut names = BTreeSet::new();
    let mut ranges = Vec::new();
    for tensor in &mut *tensors {
        if !names.insert(tensor.name.clone()) {
            return Err(Stop::bad(format!("tensor {}", tensor.name), "there twice", "one of each name"));
        }
        let bytes = tensor.format.bytes_of(tensor.shape.iter().product());
        let place = start.checked_add(tensor.offset).and_then(|from| Some((from, from.checked_add(bytes)?)));
        match place {
            Some((from, end)) if end <= length => {
                tensor.offset = from;
                ranges.push((from, end, tensor.name.clone()));
            }
            other => {
                return Err(Stop::Short { what: tensor.name.clone(), wanted: other.map_or(u64::MAX, |(_, end)| end) });
            }
        }
    }
    ranges.sort();
    match ranges.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        None => Ok(()),
        Some([a, b]) => Err(Stop::bad(format!("the data of {}", b.2), format!("within that of {}", a.2), "bytes of its own")),
        Some(_) => unreachable!("windows of two"),
    }
}

/// The bytes of a head whose tensors have their offsets within the data; the data follows at the next multiple of [`ALIGNMENT`].
pub(super) fn write(metadata: &[(String, Value)], tensors: &[Entry]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        write_string(key, &mut out);
        value.write(&mut out);
    }
    for tensor in tensors {
        write_string(&tensor.name, &mut out);
        out.extend((tensor.shape.len() as u32).to_le_bytes());
        tensor.shape.iter().rev().for_each(|n| out.extend((*n as u64).to_le_bytes()));
        out.extend(code(tensor.format).to_le_bytes());
        out.extend(tensor.offset.to_le_bytes());
    }
    out.resize(out.len().next_multiple_of(ALIGNMENT as usize), 0);
    out
}
