//! Tensors on their way from a file to a device: read in pieces, checked, converted, laid out as the plan wants them.

use super::{Checkpoint, Form, LoadError, PIECE, TensorInfo};
use crate::blocks::{Format, bad_scale, decode, encode, store};
use crate::graph::{Pack, Weight};
use crate::plan::PlanWeight;
use crate::tensor::DType;

/// The type in which a tensor with rows of `columns` is held and written where `wanted` was asked for: that of projections and of the
/// embedding, f16 if their rows are no whole blocks of it; all else is small, and f32.
pub fn matrix_type(name: &str, wanted: DType, columns: usize) -> DType {
    const MATRICES: [&str; 5] =
        ["_proj.weight", "embed_tokens.weight", "embeddings.weight", "lm_head.weight", "learnable_ttt_lr_weight"];
    if MATRICES.iter().any(|end| name.ends_with(end)) { wanted.whole(columns) } else { DType::F32 }
}

/// A tensor's place in the buffer of a planned weight.
pub(crate) struct TensorPlace<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Its description.
    pub(crate) info: &'a TensorInfo,
    /// The first row of the buffer that it fills, and how many.
    pub(crate) rows: (usize, usize),
    /// The first column, and how many.
    pub(crate) columns: (usize, usize),
}

/// Where the tensors of a planned weight lie in its buffer; none for a constant.
pub(crate) fn places<'a>(checkpoint: &'a Checkpoint, weight: &'a PlanWeight) -> Result<Vec<TensorPlace<'a>>, LoadError> {
    let Weight::Tensors { names, pack } = &weight.weight else { return Ok(Vec::new()) };
    let (height, width) = (weight.desc.rows(), weight.desc.width());
    let (mut row, mut column) = (0, 0);
    let mut places = Vec::new();
    for name in names {
        let info = checkpoint.tensors.get(name);
        let info = info.ok_or_else(|| LoadError::MissingTensor { file: checkpoint.name().into(), name: name.clone() })?;
        let (rows, columns) = match pack {
            Pack::Stacked if info.len() % width == 0 => (info.len() / width, width),
            // Small vectors end to end in one row.
            Pack::Stacked => (1, info.len()),
            Pack::Joined => (height, info.len() / height),
        };
        places.push(TensorPlace { name, info, rows: (row, rows), columns: (column, columns) });
        match pack {
            Pack::Stacked if height > 1 => row += rows,
            _ => column += columns,
        }
    }
    Ok(places)
}

/// The words of rows `first .. first + count` of a planned weight, converted from the checkpoint.
pub async fn weight_rows(
    checkpoint: &Checkpoint,
    weight: &PlanWeight,
    first: usize,
    count: usize,
) -> Result<Vec<u32>, LoadError> {
    let desc = &weight.desc;
    let row_bytes = desc.row_bytes();
    if let Weight::Constant(words) = &weight.weight {
        return Ok(words[first * desc.width()..(first + count) * desc.width()].to_vec());
    }
    let mut bytes = vec![0u8; (count * row_bytes).next_multiple_of(4)];
    for TensorPlace { name, info, rows: (row, rows), columns: (column, columns) } in places(checkpoint, weight)? {
        let (from, to) = (first.max(row), (first + count).min(row + rows));
        if from < to {
            let data = read_as(checkpoint, name, info, desc.dtype, (from - row) * columns, (to - from) * columns).await?;
            for (i, source) in data.chunks(desc.dtype.bytes_of(columns)).enumerate() {
                let place = (from - first + i) * row_bytes;
                store(desc.dtype, source, &mut bytes[place + desc.dtype.bytes_of(column)..place + row_bytes]);
            }
        }
    }
    Ok(bytemuck::pod_collect_to_vec(&bytes))
}

/// `count` elements of a tensor from element `start` on, in the Hugging Face order, encoded as `dtype`: the file's own bytes where
/// it has them so, else rounded.
pub(super) async fn read_as(
    checkpoint: &Checkpoint,
    name: &str,
    info: &TensorInfo,
    dtype: DType,
    start: usize,
    count: usize,
) -> Result<Vec<u8>, LoadError> {
    let file = checkpoint.sources[info.file].name();
    let own = info.format == Format::from(dtype) && info.form == Form::Plain && dtype.is_quantised();
    if own && start.is_multiple_of(dtype.block()) && count.is_multiple_of(dtype.block()) {
        let offset = info.offset + info.format.bytes_of(start);
        let bytes = checkpoint.sources[info.file].read(offset, dtype.bytes_of(count)).await?;
        return match bad_scale(info.format, &bytes) {
            Some(bad) => Err(LoadError::NotFinite { file: file.into(), name: name.into(), element: (start + bad) as u64 }),
            None => Ok(bytes),
        };
    }
    let values = read(checkpoint, name, info, start, count).await?;
    let mut bytes = Vec::new();
    encode(dtype, &values, &mut bytes).map_err(|i| {
        let wanted = format!("at most 65504 in size to be held as {dtype}; f32 holds it");
        LoadError::invalid(file, format!("element {} of {name}", start + i), values[i], wanted)
    })?;
    Ok(bytes)
}

/// The same as floats.
async fn read(checkpoint: &Checkpoint, name: &str, info: &TensorInfo, start: usize, count: usize) -> Result<Vec<f32>, LoadError> {
    let mut out = vec![0f32; count];
    match info.form {
        Form::Plain => read_range(checkpoint, name, info, start, &mut out).await?,
        Form::NegativeExp => {
            read_range(checkpoint, name, info, start, &mut out).await?;
            if let Some(i) = out.iter().position(|a| *a >= 0.0) {
                let file = checkpoint.sources[info.file].name();
                return Err(LoadError::invalid(file, format!("element {} of {name}", start + i), out[i], "a negative number"));
            }
            // Through f64, so that the logarithm of a rounded power is the number that it was made of wherever f32 can tell.
            out.iter_mut().for_each(|a| *a = f64::from(-*a).ln() as f32);
        }
        Form::Transposed => {
            // The file holds [columns, rows]: each stored row is one column here.
            let columns = info.shape[1..].iter().product::<usize>();
            let rows = info.shape[0];
            let (first, n) = (start / columns, count / columns);
            let mut stored = vec![0f32; n];
            for column in 0..columns {
                read_range(checkpoint, name, info, column * rows + first, &mut stored).await?;
                for (r, x) in stored.iter().enumerate() {
                    out[r * columns + column] = *x;
                }
            }
        }
    }
    Ok(out)
}

/// Elements as they lie in the file.
async fn read_range(
    checkpoint: &Checkpoint,
    name: &str,
    info: &TensorInfo,
    start: usize,
    out: &mut [f32],
) -> Result<(), LoadError> {
    let (len, size) = info.format.block();
    let mut element = start;
    for piece in out.chunks_mut(PIECE / size * len) {
        // The blocks that hold the piece; only a row that is no whole blocks starts or ends within one.
        let (first, end) = (element / len, (element + piece.len()).div_ceil(len));
        let bytes = checkpoint.sources[info.file].read(info.offset + (first * size) as u64, (end - first) * size).await?;
        if element == first * len && piece.len() == (end - first) * len {
            decode(info.format, &bytes, piece);
        } else {
            let mut whole = vec![0f32; (end - first) * len];
            decode(info.format, &bytes, &mut whole);
            piece.copy_from_slice(&whole[element - first * len..][..piece.len()]);
        }
        if let Some(bad) = piece.iter().position(|x| x.to_bits() & 0x7f80_0000 == 0x7f80_0000) {
            let file = checkpoint.sources[info.file].name().into();
            return Err(LoadError::NotFinite { file, name: name.into(), element: (element + bad) as u64 });
        }
        element += piece.len();
    }
    Ok(())
}
