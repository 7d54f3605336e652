//! Fastweight multiplies matrices.

use anyhow::Result;
use fastweight::device::{Choice, Device};
use fastweight::verify::{Effort, Product, tune};
use pollster::block_on;

use crate::PRODUCTS;

pub(crate) fn rounds(device: &Choice) -> Result<()> {
    let device = block_on(Device::open(device))?;
    // As the command line does when a model first runs on a device.
    let plans = PRODUCTS.map(|[rows, inner, columns]| Product::plan(&device, rows, inner, columns));
    let plans = plans.into_iter().collect::<Result<Vec<_>, _>>()?;
    let tuning = block_on(tune(&device, &plans, Effort::Once, &mut |_, _| {}))?;
    let device = device.with_tuning(tuning);
    let mut products = Vec::new();
    for [rows, inner, columns] in PRODUCTS {
        products.push(block_on(Product::new(&device, rows, inner, columns))?);
    }
    crate::multiply_in_turns(&format!("fastweight ({})", device.name()), |at, times| Ok(block_on(products[at].run(times))?))
}
