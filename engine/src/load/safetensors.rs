//! Safetensors: eight bytes of length, a JSON header, the data. One file, or several with an index.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{LoadError, Source, TensorInfo, checked_len};
use crate::blocks::Format;
use crate::quote::shown;

/// The longest header that is read; the format's own limit.
const MAX_HEADER: u64 = 100_000_000;

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

/// A header's entries; a name that comes twice is refused, where a map would keep one of them.
struct Header(BTreeMap<String, Entry>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Header, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let entry = map.next_value().map_err(|e| A::Error::custom(format!("the entry of {}: {e}", shown(&name))))?;
                    if entries.insert(name.clone(), entry).is_some() {
                        return Err(A::Error::custom(format!("{} comes twice", shown(name))));
                    }
                }
                Ok(Header(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// The tensors of one file, which is number `file` of its checkpoint.
pub async fn catalogue(source: &dyn Source, file: usize) -> Result<BTreeMap<String, TensorInfo>, LoadError> {
    let name = source.name().to_string();
    let truncated = |wanted| LoadError::Truncated { file: name.clone(), what: "the header".into(), wanted, found: source.len() };
    if source.len() < 8 {
        return Err(truncated(8));
    }
    let length = source.read(0, 8).await?;
    let length = u64::from_le_bytes(length.try_into().map_err(|_| truncated(8))?);
    if length > MAX_HEADER {
        return Err(LoadError::invalid(&name, "the header's length", length, format!("at most {MAX_HEADER}")));
    }
    let data = 8 + length;
    if source.len() < data {
        return Err(truncated(data));
    }
    let header = source.read(8, length as usize).await?;
    parse(&name, &header, source.len() - data, data, file)
}

/// Parses a header whose data of `available` bytes starts at `data`.
pub fn parse(
    name: &str,
    header: &[u8],
    available: u64,
    data: u64,
    file: usize,
) -> Result<BTreeMap<String, TensorInfo>, LoadError> {
    let invalid = |what: &str, found: String, wanted: &str| LoadError::invalid(name, what, found, wanted);
    let wanted = "a JSON object of tensors with dtype, shape and data_offsets";
    let Header(entries) = serde_json::from_slice(header).map_err(|e| invalid("the header", e.to_string(), wanted))?;
    let mut tensors = BTreeMap::new();
    let mut ranges = Vec::new();
    for (tensor, entry) in entries {
        let format = match entry.dtype.as_str() {
            "F32" => Format::F32,
            "F16" => Format::F16,
            "BF16" => Format::BF16,
            other => return Err(invalid(&format!("the type of {tensor}"), other.into(), "F32, F16 or BF16")),
        };
        let len = checked_len(&entry.shape).ok_or_else(|| {
            let sizes = &entry.shape[..entry.shape.len().min(16)];
            invalid(&format!("the shape of {tensor}"), format!("{sizes:?}"), "a shape that fits in memory")
        })?;
        let (start, end) = entry.data_offsets;
        let bytes = format.bytes_of(len);
        if end.checked_sub(start) != Some(bytes) {
            return Err(invalid(&format!("the data range of {tensor}"), format!("{start}..{end}"), &format!("{bytes} bytes")));
        }
        if end > available {
            let (file, what) = (name.to_string(), shown(tensor));
            return Err(LoadError::Truncated { file, what, wanted: data.saturating_add(end), found: data + available });
        }
        if bytes > 0 {
            ranges.push((start, end, tensor.clone()));
        }
        tensors.insert(tensor, TensorInfo::plain(format, entry.shape, file, data + start));
    }
    ranges.sort();
    for pair in ranges.windows(2) {
        if pair[0].1 > pair[1].0 {
            return Err(invalid(
                &format!("the data range of {}", pair[1].2),
                format!("{}..{}", pair[1].0, pair[1].1),
                "a range of its own",
            ));
        }
    }
    Ok(tensors)
}

/// The files that an index names, in order.
pub fn index_files(name: &str, index: &[u8]) -> Result<Vec<String>, LoadError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index =
        serde_json::from_slice(index).map_err(|e| LoadError::invalid(name, "the index", e, "a JSON object with a weight_map"))?;
    let mut files: Vec<String> = index.weight_map.into_values().collect();
    files.sort();
    files.dedup();
    for file in &files {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !file.chars().all(plain) || file.starts_with('.') || !file.ends_with(".safetensors") || file.len() > 255 {
            return Err(LoadError::invalid(name, "a file of the index", file, "the name of a .safetensors file beside it"));
        }
    }
    if files.is_empty() {
        return Err(LoadError::invalid(name, "weight_map", "empty", "at least one file"));
    }
    Ok(files)
}
