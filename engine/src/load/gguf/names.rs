//! What tensors are called in a GGUF, and what in a Hugging Face checkpoint. `blk.N.` stands for the family's own prefix of a layer.

/// The names of a family.
pub(super) struct Names {
    /// `general.architecture`.
    pub(super) architecture: &'static str,
    /// The Hugging Face prefix of layer N, before the number.
    layers: &'static str,
    /// Pairs (GGUF, Hugging Face) outside of layers.
    global: &'static [(&'static str, &'static str)],
    /// The same within a layer.
    layer: &'static [(&'static str, &'static str)],
}

/// All families.
pub(super) const FAMILIES: [Names; 3] = [
    Names {
        architecture: "llama",
        layers: "model.layers",
        global: &[
            ("token_embd.weight", "model.embed_tokens.weight"),
            ("output_norm.weight", "model.norm.weight"),
            ("output.weight", "lm_head.weight"),
        ],
        layer: &[
            ("attn_norm.weight", "input_layernorm.weight"),
            ("attn_q.weight", "self_attn.q_proj.weight"),
            ("attn_q.bias", "self_attn.q_proj.bias"),
            ("attn_k.weight", "self_attn.k_proj.weight"),
            ("attn_k.bias", "self_attn.k_proj.bias"),
            ("attn_v.weight", "self_attn.v_proj.weight"),
            ("attn_v.bias", "self_attn.v_proj.bias"),
            ("attn_output.weight", "self_attn.o_proj.weight"),
            ("attn_output.bias", "self_attn.o_proj.bias"),
            ("ffn_norm.weight", "post_attention_layernorm.weight"),
            ("ffn_gate.weight", "mlp.gate_proj.weight"),
            ("ffn_gate.bias", "mlp.gate_proj.bias"),
            ("ffn_up.weight", "mlp.up_proj.weight"),
            ("ffn_up.bias", "mlp.up_proj.bias"),
            ("ffn_down.weight", "mlp.down_proj.weight"),
            ("ffn_down.bias", "mlp.down_proj.bias"),
        ],
    },
    Names {
        architecture: "mamba",
        layers: "backbone.layers",
        global: &[
            ("token_embd.weight", "backbone.embeddings.weight"),
            ("output_norm.weight", "backbone.norm_f.weight"),
            ("output.weight", "lm_head.weight"),
        ],
        layer: &[
            ("attn_norm.weight", "norm.weight"),
            ("ssm_in.weight", "mixer.in_proj.weight"),
            ("ssm_in.bias", "mixer.in_proj.bias"),
            ("ssm_conv1d.weight", "mixer.conv1d.weight"),
            ("ssm_conv1d.bias", "mixer.conv1d.bias"),
            ("ssm_x.weight", "mixer.x_proj.weight"),
            ("ssm_dt.weight", "mixer.dt_proj.weight"),
            ("ssm_dt.bias", "mixer.dt_proj.bias"),
            ("ssm_a", "mixer.A_log"),
            ("ssm_d", "mixer.D"),
            ("ssm_out.weight", "mixer.out_proj.weight"),
            ("ssm_out.bias", "mixer.out_proj.bias"),
        ],
    },
    Names {
        architecture: "ttt",
        layers: "model.layers",
        global: &[
            ("token_embd.weight", "model.embed_tokens.weight"),
            ("output_norm.weight", "model.norm.weight"),
            ("output.weight", "lm_head.weight"),
        ],
        layer: &[
            ("pre_conv_norm.weight", "conv.norm.weight"),
            ("pre_conv.weight", "conv.conv.weight"),
            ("pre_conv.bias", "conv.conv.bias"),
            ("attn_norm.weight", "seq_norm.weight"),
            ("attn_q.weight", "seq_modeling_block.q_proj.weight"),
            ("attn_k.weight", "seq_modeling_block.k_proj.weight"),
            ("attn_v.weight", "seq_modeling_block.v_proj.weight"),
            ("attn_gate.weight", "seq_modeling_block.g_proj.weight"),
            ("attn_output.weight", "seq_modeling_block.o_proj.weight"),
            ("ttt_conv_q.weight", "seq_modeling_block.conv_q.weight"),
            ("ttt_conv_q.bias", "seq_modeling_block.conv_q.bias"),
            ("ttt_conv_k.weight", "seq_modeling_block.conv_k.weight"),
            ("ttt_conv_k.bias", "seq_modeling_block.conv_k.bias"),
            ("ttt_lr.weight", "seq_modeling_block.learnable_ttt_lr_weight"),
            ("ttt_lr.bias", "seq_modeling_block.learnable_ttt_lr_bias"),
            ("ttt_token_idx", "seq_modeling_block.learnable_token_idx"),
            ("ttt_norm.weight", "seq_modeling_block.ttt_norm_weight"),
            ("ttt_norm.bias", "seq_modeling_block.ttt_norm_bias"),
            ("ttt_1.weight", "seq_modeling_block.W1"),
            ("ttt_1.bias", "seq_modeling_block.b1"),
            ("ttt_2.weight", "seq_modeling_block.W2"),
            ("ttt_2.bias", "seq_modeling_block.b2"),
            ("ttt_post_norm.weight", "seq_modeling_block.post_norm.weight"),
            ("ttt_post_norm.bias", "seq_modeling_block.post_norm.bias"),
            ("ffn_norm.weight", "ffn_norm.weight"),
            ("ffn_gate.weight", "mlp.gate_proj.weight"),
            ("ffn_up.weight", "mlp.up_proj.weight"),
            ("ffn_down.weight", "mlp.down_proj.weight"),
        ],
    },
];

/// The number and the rest of a name of a layer.
fn layer<'a>(prefix: &str, name: &'a str) -> Option<(usize, &'a str)> {
    let (digits, rest) = name.strip_prefix(prefix)?.strip_prefix('.')?.split_once('.')?;
    let n: usize = digits.parse().ok()?;
    (n.to_string() == digits).then_some((n, rest))
}

impl Names {
    /// The Hugging Face name of a tensor of a GGUF, and its layer.
    pub(super) fn to_hf(&self, name: &str) -> Option<(String, Option<usize>)> {
        if let Some((_, hf)) = self.global.iter().find(|(gguf, _)| *gguf == name) {
            return Some((hf.to_string(), None));
        }
        let (n, rest) = layer("blk", name)?;
        let (_, hf) = self.layer.iter().find(|(gguf, _)| *gguf == rest)?;
        Some((format!("{}.{n}.{hf}", self.layers), Some(n)))
    }

    /// The name in a GGUF of a Hugging Face tensor.
    pub(super) fn to_gguf(&self, name: &str) -> Option<String> {
        if let Some((gguf, _)) = self.global.iter().find(|(_, hf)| *hf == name) {
            return Some(gguf.to_string());
        }
        let (n, rest) = layer(self.layers, name)?;
        let (gguf, _) = self.layer.iter().find(|(_, hf)| *hf == rest)?;
        Some(format!("blk.{n}.{gguf}"))
    }

    /// The names in a GGUF, for messages.
    pub(super) fn known(&self) -> String {
        let layer = self.layer.iter().map(|(gguf, _)| format!("blk.N.{gguf}"));
        self.global.iter().map(|(gguf, _)| gguf.to_string()).chain(layer).collect::<Vec<_>>().join(", ")
    }
}
