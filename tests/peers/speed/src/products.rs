//! Fastweight multiplies matrices.

use std::time::Instant;

use anyhow::Result;
use fastweight::device::{Choice, Device};
use fastweight::verify::{Effort, Product, tune};
use pollster::block_on;
use serde_json::{Map, json};

use crate::{PRODUCTS, TIMES, gflops};

pub(crate) fn rounds(device: &Choice) -> Result<()> {
    let device = block_on(Device::open(device))?;
    // As the command line does when a model first runs on a device.
    let plans = PRODUCTS.map(|[rows, inner, columns]| Product::plan(&device, rows, inner, columns));
    let plans = plans.into_iter().collect::<Result<Vec<_>, _>>()?;
    let tuning = block_on(tune(&device, &plans, Effort::Once, &mut |_, _| {}))?;
    let device = device.with_tuning(tuning);
    let mut products = Vec::new();
    for shape @ [rows, inner, columns] in PRODUCTS {
        products.push((shape, block_on(Product::new(&device, rows, inner, columns))?));
    }
    crate::take_turns(&format!("fastweight ({})", device.name()), || {
        let mut speeds = Map::new();
        for (shape, product) in &mut products {
            let start = Instant::now();
            block_on(product.run(TIMES))?;
            let seconds = start.elapsed().as_secs_f64() / TIMES as f64;
            speeds.insert(format!("{}×{}×{}", shape[0], shape[1], shape[2]), json!(gflops(*shape, seconds)));
        }
        Ok(speeds.into())
    })
}
