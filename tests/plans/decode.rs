//! What a decoded token costs at the sizes that people run: dispatches, and bytes requested against the fewest possible. From headers alone.

use std::collections::BTreeMap;

use fastweight::caps::Caps;
use fastweight::generate::{Purpose, outline};
use fastweight::load::{Checkpoint, MemorySource, Source, TensorInfo};
use fastweight::models;
use fastweight::tensor::DType;
use serde_json::{Value, json};

/// Dispatches outside of the layers: embedding, history, last row, logits, penalty and draw.
const AROUND: usize = 6;
/// Bytes requested of the fewest possible.
const MOVED: f64 = 1.1;

/// Names and shapes of a checkpoint's tensors.
#[derive(Default)]
struct Tensors(Vec<(String, Vec<usize>)>);

impl Tensors {
    fn add(&mut self, prefix: &str, tensors: &[(&str, &[usize])]) {
        self.0.extend(tensors.iter().map(|(name, shape)| (format!("{prefix}{name}"), shape.to_vec())));
    }

    /// Tensors of one shape.
    fn each(&mut self, prefix: &str, names: &[&str], shape: &[usize]) {
        self.0.extend(names.iter().map(|name| (format!("{prefix}{name}"), shape.to_vec())));
    }
}

/// The width, the width between the projections, layers, and heads of a model.
type Sizes = (usize, usize, usize, usize);

/// A TTT model with the Mamba backbone, or the Transformer backbone.
fn ttt((hidden, wide, layers, heads): Sizes, mlp: bool, mamba_backbone: bool) -> (Value, Tensors) {
    let (h, hd, taps, batch) = (hidden, hidden / heads, 4, 16);
    let mut tensors = Tensors::default();
    tensors.add("model.", &[("embed_tokens.weight", &[32_000, h]), ("norm.weight", &[h])]);
    for layer in 0..layers {
        let layer = format!("model.layers.{layer}.");
        tensors.add(&layer, &[("seq_norm.weight", &[h]), ("ffn_norm.weight", &[h]), ("mlp.gate_proj.weight", &[wide, h])]);
        tensors.add(&layer, &[("mlp.up_proj.weight", &[wide, h]), ("mlp.down_proj.weight", &[h, wide])]);
        let block = format!("{layer}seq_modeling_block.");
        tensors.each(&block, &["post_norm.weight", "post_norm.bias"], &[h]);
        tensors.each(&block, &["q_proj.weight", "v_proj.weight", "o_proj.weight"], &[h, h]);
        tensors.add(&block, &[("learnable_token_idx", &[batch]), ("learnable_ttt_lr_weight", &[heads, 1, h])]);
        tensors.add(&block, &[("learnable_ttt_lr_bias", &[heads, 1])]);
        tensors.each(&block, &["ttt_norm_weight", "ttt_norm_bias"], &[heads, hd]);
        let inner = if mlp { 4 * hd } else { hd };
        tensors.add(&block, &[("W1", &[heads, hd, inner]), ("b1", &[heads, 1, inner])]);
        if mlp {
            tensors.add(&block, &[("W2", &[heads, inner, hd]), ("b2", &[heads, 1, hd])]);
        }
        if mamba_backbone {
            tensors.add(&layer, &[("conv.norm.weight", &[h]), ("conv.conv.weight", &[h, 1, taps]), ("conv.conv.bias", &[h])]);
            tensors.each(&block, &["conv_q.weight", "conv_k.weight"], &[h, 1, taps]);
            tensors.each(&block, &["conv_q.bias", "conv_k.bias"], &[h]);
            tensors.add(&block, &[("g_proj.weight", &[h, h])]);
        } else {
            tensors.add(&block, &[("k_proj.weight", &[h, h])]);
        }
    }
    (json!({ "model_type": "ttt" }), tensors)
}

fn llama((hidden, wide, layers, heads): Sizes, kv_heads: usize) -> (Value, Tensors) {
    let (h, kv) = (hidden, kv_heads * hidden / heads);
    let mut tensors = Tensors::default();
    tensors.add("model.", &[("embed_tokens.weight", &[32_000, h]), ("norm.weight", &[h])]);
    for layer in 0..layers {
        let layer = format!("model.layers.{layer}.");
        tensors.each(&layer, &["input_layernorm.weight", "post_attention_layernorm.weight"], &[h]);
        tensors.add(&layer, &[("self_attn.q_proj.weight", &[h, h]), ("self_attn.k_proj.weight", &[kv, h])]);
        tensors.add(&layer, &[("self_attn.v_proj.weight", &[kv, h]), ("self_attn.o_proj.weight", &[h, h])]);
        tensors.add(&layer, &[("mlp.gate_proj.weight", &[wide, h]), ("mlp.up_proj.weight", &[wide, h])]);
        tensors.add(&layer, &[("mlp.down_proj.weight", &[h, wide])]);
    }
    let config = json!({
        "model_type": "llama", "num_attention_heads": heads, "num_key_value_heads": kv_heads, "hidden_act": "silu",
        "max_position_embeddings": 2048, "tie_word_embeddings": true
    });
    (config, tensors)
}

fn mamba(hidden: usize, layers: usize, second: bool) -> (Value, Tensors) {
    let (h, channels, taps) = (hidden, 2 * hidden, 4);
    let (state, heads) = if second { (128, channels / 64) } else { (16, 0) };
    let conv = if second { channels + 2 * state } else { channels };
    let projected = channels + if second { conv + heads } else { channels };
    let rank = hidden.div_ceil(16);
    let mut tensors = Tensors::default();
    tensors.add("backbone.", &[("embeddings.weight", &[50_280, h]), ("norm_f.weight", &[h])]);
    for layer in 0..layers {
        let layer = format!("backbone.layers.{layer}.");
        tensors.add(&layer, &[("norm.weight", &[h]), ("mixer.in_proj.weight", &[projected, h])]);
        tensors.add(&layer, &[("mixer.out_proj.weight", &[h, channels]), ("mixer.conv1d.weight", &[conv, 1, taps])]);
        tensors.add(&layer, &[("mixer.conv1d.bias", &[conv])]);
        if second {
            tensors.each(&layer, &["mixer.A_log", "mixer.D", "mixer.dt_bias"], &[heads]);
            tensors.add(&layer, &[("mixer.norm.weight", &[channels])]);
        } else {
            tensors.add(
                &layer,
                &[("mixer.x_proj.weight", &[rank + 2 * state, channels]), ("mixer.dt_proj.weight", &[channels, rank])],
            );
            tensors.add(&layer, &[("mixer.A_log", &[channels, state])]);
            tensors.each(&layer, &["mixer.dt_proj.bias", "mixer.D"], &[channels]);
        }
    }
    let config = match second {
        true => json!({
            "model_type": "mamba2", "num_heads": heads, "head_dim": 64, "state_size": state, "n_groups": 1, "expand": 2,
            "conv_kernel": taps, "tie_word_embeddings": true
        }),
        false => json!({ "model_type": "mamba" }),
    };
    (config, tensors)
}

/// Dispatches of a decode step, and bytes requested of the fewest possible, with matrices in f16.
fn decoded(name: &str, layers: usize, (config, tensors): (Value, Tensors)) -> (usize, f64) {
    let tensors: BTreeMap<_, _> =
        tensors.0.into_iter().map(|(name, shape)| (name, TensorInfo::plain(DType::F16, shape, 0, 0))).collect();
    let source: Box<dyn Source> = Box::new(MemorySource::new("sizes", Vec::new()));
    let checkpoint = Checkpoint { sources: vec![source], tensors, dtype: Some(DType::F16) };
    let model = models::open(&checkpoint, Some(&config)).unwrap_or_else(|e| panic!("{name}: {e}"));
    // Such models are run where the embedding fits in one binding.
    let caps = Caps { binding_bytes: 1 << 30, buffer_bytes: 1 << 30, ..Caps::default() };
    let plan = outline(&*model, Purpose::Decode, 1, &caps).unwrap_or_else(|e| panic!("{name}: {e}")).plan;
    let (cost, dispatches) = (plan.cost(), plan.steps.len());
    let moved = cost.moved / cost.least;
    println!("{name}: {dispatches} dispatches for {layers} layers, {:.1} MB, {moved:.3} times the least", cost.moved / 1e6);
    let outside = plan.steps.iter().filter(|step| !step.label.contains("layers.")).count();
    assert!(outside <= AROUND, "{name}: {outside} dispatches around the layers\n{plan}");
    (dispatches, moved)
}

#[test]
fn a_token_takes_few_dispatches_and_little_more_than_the_fewest_bytes() {
    let (small, large) = ((768, 2048, 12, 12), (2048, 5504, 24, 32));
    for (name, layers, a_layer, model) in [
        ("TTT-Linear 125M", 12, 6, ttt(small, false, true)),
        ("TTT-Linear 1.3B", 24, 6, ttt(large, false, true)),
        ("TTT-Linear 760M", 24, 6, ttt((1536, 4096, 24, 16), false, true)),
        ("TTT-MLP 125M", 12, 6, ttt(small, true, true)),
        ("TTT-MLP 1.3B", 24, 6, ttt(large, true, true)),
        ("TTT-Linear 125M, Transformer backbone", 12, 5, ttt(small, false, false)),
        ("Transformer 125M", 12, 6, llama(small, 12)),
        ("Transformer 1.1B, grouped queries", 22, 6, llama((2048, 5632, 22, 32), 4)),
        ("Mamba 130M", 24, 6, mamba(768, 24, false)),
        ("Mamba 1.4B", 48, 6, mamba(2048, 48, false)),
        ("Mamba-2 130M", 24, 4, mamba(768, 24, true)),
    ] {
        let (dispatches, moved) = decoded(name, layers, model);
        assert_eq!(dispatches, a_layer * layers + AROUND, "{name}");
        assert!(moved <= MOVED, "{name}: {moved} times the fewest bytes");
    }
}
