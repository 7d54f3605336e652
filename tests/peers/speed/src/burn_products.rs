//! burn multiplies matrices, on wgpu.

use anyhow::Result;
use burn::backend::Wgpu;
use burn::backend::wgpu::WgpuDevice;
use burn::tensor::backend::Backend;
use burn::tensor::{Distribution, Tensor};

use crate::{PRODUCTS, TIMES};

pub(crate) fn rounds() -> Result<()> {
    let device = WgpuDevice::default();
    let random = |shape| Tensor::<Wgpu, 2>::random(shape, Distribution::Uniform(-1.0, 1.0), &device);
    // Weights row by row of the results, as ours.
    let operands = PRODUCTS.map(|[rows, inner, columns]| (random([rows, inner]), random([columns, inner])));
    let multiply = |at: usize, times: usize| -> Result<()> {
        let (x, w) = &operands[at];
        for _ in 0..times {
            let _ = x.clone().matmul(w.clone().transpose());
        }
        Wgpu::<f32, i32>::sync(&device).map_err(|e| anyhow::anyhow!("{e:?}"))
    };
    // It tunes its kernels at first use.
    (0..operands.len()).try_for_each(|at| multiply(at, 2 * TIMES))?;
    crate::multiply_in_turns("burn on wgpu", multiply)
}
