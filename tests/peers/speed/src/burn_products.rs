//! burn multiplies matrices, on wgpu.

use std::time::Instant;

use anyhow::Result;
use burn::backend::Wgpu;
use burn::backend::wgpu::WgpuDevice;
use burn::tensor::backend::Backend;
use burn::tensor::{Distribution, Tensor};
use serde_json::{Map, json};

use crate::{PRODUCTS, TIMES, gflops};

pub(crate) fn rounds() -> Result<()> {
    let device = WgpuDevice::default();
    let random = |shape| Tensor::<Wgpu, 2>::random(shape, Distribution::Uniform(-1.0, 1.0), &device);
    // Weights row by row of the results, as ours.
    let operands = PRODUCTS.map(|shape @ [rows, inner, columns]| (shape, random([rows, inner]), random([columns, inner])));
    let multiply = |times: usize, x: &Tensor<Wgpu, 2>, w: &Tensor<Wgpu, 2>| -> Result<()> {
        for _ in 0..times {
            let _ = x.clone().matmul(w.clone().transpose());
        }
        Wgpu::<f32, i32>::sync(&device).map_err(|e| anyhow::anyhow!("{e:?}"))
    };
    // It tunes its kernels at first use.
    operands.iter().try_for_each(|(_, x, w)| multiply(2 * TIMES, x, w))?;
    crate::take_turns("burn on wgpu", || {
        let mut speeds = Map::new();
        for (shape, x, w) in &operands {
            let start = Instant::now();
            multiply(TIMES, x, w)?;
            let seconds = start.elapsed().as_secs_f64() / TIMES as f64;
            speeds.insert(format!("{}×{}×{}", shape[0], shape[1], shape[2]), json!(gflops(*shape, seconds)));
        }
        Ok(speeds.into())
    })
}
