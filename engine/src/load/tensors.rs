//! Tensors on their way from a file to a device: read in pieces, checked, converted, laid out as the plan wants them.

use half::{bf16, f16};

use super::{Checkpoint, LoadError, PIECE, TensorInfo};
use crate::graph::{Pack, Weight};
use crate::plan::PlanWeight;
use crate::tensor::DType;

/// The words of rows `first .. first + count` of a planned weight, converted from the checkpoint.
pub async fn weight_rows(
    checkpoint: &Checkpoint,
    weight: &PlanWeight,
    first: usize,
    count: usize,
) -> Result<Vec<u32>, LoadError> {
    let desc = &weight.desc;
    let (width, row_bytes) = (desc.width(), desc.row_bytes());
    let mut bytes = vec![0u8; (count * row_bytes).next_multiple_of(4)];
    match &weight.weight {
        Weight::Constant(words) => return Ok(words[first * width..(first + count) * width].to_vec()),
        Weight::Tensors { names, pack } => {
            // Where each tensor's rows of the buffer start, and the columns that it fills.
            let (mut row, mut column) = (0, 0);
            for name in names {
                let info = checkpoint.tensors.get(name);
                let info = info.ok_or_else(|| LoadError::MissingTensor { file: checkpoint.name().into(), name: name.clone() })?;
                let (tensor_rows, tensor_width) = match pack {
                    Pack::Stacked if info.len() % width == 0 => (info.len() / width, width),
                    // Small vectors end to end in one row.
                    Pack::Stacked => (1, info.len()),
                    Pack::Joined => (desc.rows(), info.len() / desc.rows()),
                };
                let in_one_row = *pack == Pack::Stacked && desc.rows() == 1;
                let (from, to) = (first.max(row), (first + count).min(row + tensor_rows));
                if from < to {
                    let data = read(checkpoint, name, info, (from - row) * tensor_width, (to - from) * tensor_width).await?;
                    for (i, source) in data.chunks(tensor_width).enumerate() {
                        let start = (from - first + i) * row_bytes + column * desc.dtype.bytes();
                        write(source, desc.dtype, &mut bytes[start..start + tensor_width * desc.dtype.bytes()]);
                    }
                }
                match pack {
                    Pack::Stacked if in_one_row => column += tensor_width,
                    Pack::Stacked => row += tensor_rows,
                    Pack::Joined => column += tensor_width,
                }
            }
        }
    }
    Ok(bytemuck::pod_collect_to_vec(&bytes))
}

/// `count` elements of a tensor from element `start` on, in the Hugging Face order, as floats.
async fn read(checkpoint: &Checkpoint, name: &str, info: &TensorInfo, start: usize, count: usize) -> Result<Vec<f32>, LoadError> {
    let mut out = vec![0f32; count];
    if !info.transposed {
        read_range(checkpoint, name, info, start, &mut out).await?;
        return Ok(out);
    }
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
    let size = info.dtype.bytes();
    let mut element = start;
    for piece in out.chunks_mut(PIECE / size) {
        let offset = info.offset + (element * size) as u64;
        let bytes = checkpoint.sources[info.file].read(offset, piece.len() * size).await?;
        decode(info.dtype, &bytes, piece);
        if let Some(bad) = piece.iter().position(|x| x.to_bits() & 0x7f80_0000 == 0x7f80_0000) {
            let file = checkpoint.sources[info.file].name().into();
            return Err(LoadError::NotFinite { file, name: name.into(), element: (element + bad) as u64 });
        }
        element += piece.len();
    }
    Ok(())
}

fn decode(dtype: DType, bytes: &[u8], out: &mut [f32]) {
    let (pairs, fours) = (bytes.as_chunks::<2>().0, bytes.as_chunks::<4>().0);
    match dtype {
        DType::F16 => out.iter_mut().zip(pairs).for_each(|(x, b)| *x = f16::from_le_bytes(*b).to_f32()),
        DType::BF16 => out.iter_mut().zip(pairs).for_each(|(x, b)| *x = bf16::from_le_bytes(*b).to_f32()),
        DType::F32 | DType::U32 => out.iter_mut().zip(fours).for_each(|(x, b)| *x = f32::from_le_bytes(*b)),
    }
}

/// Writes floats as `dtype`, which holds them exactly or is what the caller chose to round to.
fn write(source: &[f32], dtype: DType, out: &mut [u8]) {
    match dtype {
        DType::F16 => out.as_chunks_mut::<2>().0.iter_mut().zip(source).for_each(|(b, x)| *b = f16::from_f32(*x).to_le_bytes()),
        DType::BF16 => out.as_chunks_mut::<2>().0.iter_mut().zip(source).for_each(|(b, x)| *b = bf16::from_f32(*x).to_le_bytes()),
        DType::F32 | DType::U32 => out.as_chunks_mut::<4>().0.iter_mut().zip(source).for_each(|(b, x)| *b = x.to_le_bytes()),
    }
}
