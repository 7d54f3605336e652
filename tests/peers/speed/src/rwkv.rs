//! web-rwkv reads and writes: RWKV-7 (arXiv 2503.14456) with random weights.

use std::borrow::Cow;
use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use clap::Args;
use half::f16;
use safetensors::{Dtype, SafeTensorError};
use web_rwkv::context::ContextBuilder;
use web_rwkv::runtime::infer::{Rnn, RnnInput, RnnInputBatch, RnnOption};
use web_rwkv::runtime::loader::{Loader, Reader, ReaderTensor};
use web_rwkv::runtime::model::{ContextAutoLimits, ModelBuilder};
use web_rwkv::runtime::{TokioRuntime, v7};
use web_rwkv::wgpu;

use crate::files::SIZE;

#[derive(Args)]
pub(crate) struct Options {
    /// Tokens that a round reads
    #[arg(long)]
    read: usize,
    /// Tokens that it writes then
    #[arg(long)]
    write: usize,
}

/// Width of a head, and of the low-rank products, as in the published models of this width.
const HEAD: usize = 64;
const RANK: usize = 64;
const GATE_RANK: usize = 128;

/// Random tensors by name.
struct Tensors(BTreeMap<String, (Vec<usize>, Vec<u8>)>);

impl Tensors {
    /// About as many parameters as the other models have, and their vocabulary.
    fn new() -> Tensors {
        let (h, heads, vocabulary) = (SIZE.hidden, SIZE.hidden / HEAD, SIZE.vocabulary);
        let (mut tensors, mut random) = (BTreeMap::new(), fastrand::Rng::with_seed(1));
        let mut add = |name: String, shape: &[usize], base: f32, amplitude: f32| {
            let one = |_| f16::from_f32(base + amplitude * (2.0 * random.f32() - 1.0)).to_le_bytes();
            tensors.insert(name, (shape.to_vec(), (0..shape.iter().product()).flat_map(one).collect()));
        };
        let scale = |inner: usize| (3.0 / inner as f32).sqrt();
        add("emb.weight".into(), &[vocabulary, h], 0.0, 1.0);
        add("head.weight".into(), &[vocabulary, h], 0.0, scale(h));
        for norm in ["ln_out", "blocks.0.ln0"] {
            add(format!("{norm}.weight"), &[h], 1.0, 0.0);
            add(format!("{norm}.bias"), &[h], 0.0, 0.1);
        }
        for layer in 0..SIZE.layers {
            let block = format!("blocks.{layer}");
            for norm in ["ln1", "ln2", "att.ln_x"] {
                add(format!("{block}.{norm}.weight"), &[h], 1.0, 0.0);
                add(format!("{block}.{norm}.bias"), &[h], 0.0, 0.1);
            }
            for name in ["x_r", "x_w", "x_k", "x_v", "x_a", "x_g", "w0", "a0", "v0", "k_k", "k_a"] {
                add(format!("{block}.att.{name}"), &[h], 0.5, 0.1);
            }
            add(format!("{block}.att.r_k"), &[heads, HEAD], 0.5, 0.1);
            for (name, rank) in [("w", RANK), ("a", RANK), ("v", RANK), ("g", GATE_RANK)] {
                add(format!("{block}.att.{name}1"), &[rank, h], 0.0, scale(h));
                add(format!("{block}.att.{name}2"), &[h, rank], 0.0, scale(rank));
            }
            for name in ["receptance", "key", "value", "output"] {
                add(format!("{block}.att.{name}.weight"), &[h, h], 0.0, scale(h));
            }
            add(format!("{block}.ffn.x_k"), &[h], 0.5, 0.1);
            add(format!("{block}.ffn.key.weight"), &[4 * h, h], 0.0, scale(h));
            add(format!("{block}.ffn.value.weight"), &[h, 4 * h], 0.0, scale(4 * h));
        }
        Tensors(tensors)
    }

    fn get(&self, name: &str) -> Result<&(Vec<usize>, Vec<u8>), SafeTensorError> {
        self.0.get(name).ok_or_else(|| SafeTensorError::TensorNotFound(name.into()))
    }
}

impl Reader for Tensors {
    fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn shape(&self, name: &str) -> Result<Vec<usize>, SafeTensorError> {
        Ok(self.get(name)?.0.clone())
    }

    fn tensor(&self, name: &str) -> Result<ReaderTensor<'_>, SafeTensorError> {
        let (shape, bytes) = self.get(name)?;
        Ok((Dtype::F16, shape.clone(), Cow::Borrowed(bytes)))
    }
}

pub(crate) fn rounds(options: &Options) -> Result<()> {
    let tokio = tokio::runtime::Runtime::new()?;
    let tensors = Tensors::new();
    let parameters: usize = tensors.0.values().map(|(shape, _)| shape.iter().product::<usize>()).sum();
    let info = Loader::info(&tensors)?;
    let (adapter, runtime) = tokio.block_on(async {
        let instance = wgpu::Instance::default();
        let software = |adapter: &wgpu::Adapter| adapter.get_info().device_type == wgpu::DeviceType::Cpu;
        let adapter = instance.enumerate_adapters(wgpu::Backends::VULKAN).await.into_iter().find(software);
        let adapter = adapter.ok_or_else(|| anyhow!("no software device"))?;
        let name = adapter.get_info().name;
        let context = ContextBuilder::new(adapter).auto_limits(&info).build().await?;
        let model = ModelBuilder::new(&context, tensors).build_v7().await?;
        anyhow::Ok((name, TokioRuntime::<Rnn>::new(v7::Bundle::<f16>::new(model, 1)).await))
    })?;
    // Chunks as in its own benchmark.
    let infer = |tokens: Vec<u32>| {
        tokio.block_on(async {
            let mut input = RnnInput::new(vec![RnnInputBatch::new(tokens, RnnOption::Last)], 128);
            loop {
                let (rest, output) = runtime.infer(input).await?;
                input = rest;
                if output[0].0.len() > 0 {
                    let logits = output[0].0.clone().to_vec();
                    let likeliest = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
                    return anyhow::Ok(likeliest.map_or(0, |(token, _)| token as u32));
                }
            }
        })
    };
    let ids = crate::prompt(options.read);
    let round = || {
        let mut token = 0;
        let reading = crate::seconds(|| Ok(token = infer(ids.clone())?))?;
        let writing = crate::seconds(|| (0..options.write).try_for_each(|_| Ok(token = infer(vec![token])?)))?;
        Ok(crate::speeds([options.read, options.write], [reading, writing]))
    };
    round()?;
    crate::take_turns(&format!("web-rwkv, RWKV-7 ({parameters} parameters, {adapter})"), round)
}
