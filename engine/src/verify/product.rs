//! A matrix product that stays on a device, to be timed.

use std::sync::Arc;

use super::{VerifyError, fill};
use crate::device::Device;
use crate::exec::{Program, States, Weights, burst};
use crate::graph::{Graph, Pack};
use crate::kernels::Fill;
use crate::kernels::Op;
use crate::kernels::matmul::Matmul;
use crate::kernels::matvec::Matvec;
use crate::plan::Plan;
use crate::step::{Sequence, Step};
use crate::tensor::{DType, Desc};

/// y = x · wᵀ in f32 on a device, of one row by the kernel of decode steps: its operands are there and its kernel is compiled.
pub struct Product {
    /// x `[rows, inner]`.
    pub x: Vec<f32>,
    /// w `[columns, inner]`.
    pub w: Vec<f32>,
    program: Program,
    states: States,
    step: Step,
    length: usize,
}

impl Product {
    /// Its plan, for [`super::tune`].
    pub fn plan(device: &Device, rows: usize, inner: usize, columns: usize) -> Result<Plan, VerifyError> {
        let mut g = Graph::new();
        let x = g.input("x", Desc::tokens(rows, inner));
        let w = g.weight(&["w"], Pack::Stacked, Desc::fixed(DType::F32, &[columns, inner]));
        let op: Op = if rows == 1 { Matvec::plain(false).into() } else { Matmul { residual: false }.into() };
        let y = g.node("product", op, &[x, w])?;
        g.output("y", y);
        Ok(Plan::new(&g, device.caps())?)
    }

    /// Puts random operands on a device and multiplies them once.
    pub async fn new(device: &Device, rows: usize, inner: usize, columns: usize) -> Result<Product, VerifyError> {
        let (x_desc, w_desc) = (Desc::tokens(rows, inner), Desc::fixed(DType::F32, &[columns, inner]));
        let plan = Product::plan(device, rows, inner, columns)?;
        let (x, w) = (Fill::uniform(1, 1.0).words(&x_desc), Fill::uniform(2, 1.0).words(&w_desc));
        let mut weights = Weights::new(device);
        for weight in &plan.weights {
            fill(&mut weights, weight, &w).await?;
        }
        let states = States::new(device, &plan.states, &plan, &weights).await?;
        let program = Program::new(device, Arc::new(plan), &weights).await?;
        let step = Step::new(vec![Sequence::new(0, rows as u32)]);
        let floats = |words: &[u32]| words.iter().map(|w| f32::from_bits(*w)).collect();
        let mut product = Product { x: floats(&x), w: floats(&w), program, states, step, length: rows * columns };
        product.program.run(&mut product.states, &product.step, &[("x", &x)], &[])?.finish().await?;
        Ok(product)
    }

    /// Multiplies so many times in one submit, and waits.
    pub async fn run(&mut self, times: usize) -> Result<(), VerifyError> {
        burst(&mut [(&self.program, &mut self.states)], &self.step, times).await?;
        Ok(())
    }

    /// Multiplies once more and reads y `[rows, columns]`.
    pub async fn output(&mut self) -> Result<Vec<f32>, VerifyError> {
        let words = self.program.run(&mut self.states, &self.step, &[], &[("y", self.length)])?.finish().await?;
        Ok(words[0].iter().map(|w| f32::from_bits(*w)).collect())
    }
}
