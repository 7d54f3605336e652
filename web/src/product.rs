//! A matrix product for benches (tests/peers/browser/products.mjs); the package does not use it.

use fastweight::verify;
use wasm_bindgen::prelude::*;

use crate::device::Device;
use crate::error::Failure;

/// y = x · wᵀ in f32 on a device.
#[wasm_bindgen]
pub struct Product {
    inner: verify::Product,
}

#[wasm_bindgen]
impl Product {
    /// Puts random operands on a device and multiplies them once.
    pub async fn open(device: &Device, rows: usize, inner: usize, columns: usize) -> Result<Product, JsValue> {
        let inner = verify::Product::new(&device.inner, rows, inner, columns).await.map_err(Failure::from)?;
        Ok(Product { inner })
    }

    /// x `[rows, inner]`.
    #[wasm_bindgen(getter)]
    pub fn x(&self) -> Vec<f32> {
        self.inner.x.clone()
    }

    /// w `[columns, inner]`.
    #[wasm_bindgen(getter)]
    pub fn w(&self) -> Vec<f32> {
        self.inner.w.clone()
    }

    /// Multiplies so many times and waits.
    pub async fn run(&mut self, times: usize) -> Result<(), JsValue> {
        Ok(self.inner.run(times).await.map_err(Failure::from)?)
    }

    /// Multiplies once more and reads y `[rows, columns]`.
    pub async fn output(&mut self) -> Result<Vec<f32>, JsValue> {
        Ok(self.inner.output().await.map_err(Failure::from)?)
    }
}
