//! The sizes of a Mamba-2 model: from its tensors, cross-checked with its config in the Hugging Face form or in that of the original code.

use serde_json::Value;

use crate::kernels::StateSpace;
use crate::load::{Checkpoint, LoadError};
use crate::models::config::Json;
use crate::models::mamba::{Backbone, Reader};

/// The sizes of a Mamba-2 model.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What Mamba has as well.
    pub backbone: Backbone,
    /// Heads, groups and the state.
    pub space: StateSpace,
}

impl Config {
    /// Reads the sizes and checks every tensor's shape.
    pub fn read(checkpoint: &Checkpoint, json: Option<&Value>) -> Result<Config, LoadError> {
        let reader = Reader::new(checkpoint, json)?;
        let backbone = Backbone::read(&reader)?;
        let Reader { json, layer, .. } = &reader;
        let channels = backbone.channels;
        let heads = reader.shape("backbone.layers.0.mixer.dt_bias", 1)?[0];
        if !channels.is_multiple_of(heads) {
            let wanted = format!("a divisor of the width {channels}");
            return Err(LoadError::invalid(json.file, "the number of heads", heads, wanted));
        }
        // Where a config leaves it out, each form has a default of its own.
        let default = if json.get(&["model_type"]).is_some() { 8 } else { 1 };
        let groups = layer.size(&["n_groups", "ngroups"], 1 << 16)?.unwrap_or(default);
        if !heads.is_multiple_of(groups) {
            let wanted = format!("a divisor of the {heads} heads");
            return Err(LoadError::invalid(json.file, "the number of groups", groups, wanted));
        }
        // B and C of every group go through the convolution beside the channels.
        let beside = backbone.conv_channels - channels;
        if !beside.is_multiple_of(2 * groups) {
            let (what, wanted) = ("the width of B and C", format!("a multiple of 2 times {groups} groups"));
            return Err(LoadError::invalid(json.file, what, beside, wanted));
        }
        let (head_dim, state) = (channels / heads, beside / (2 * groups));
        json.agree("num_heads", json.size(&["num_heads"], 1 << 20)?, heads)?;
        json.agree("head_dim", layer.size(&["head_dim", "headdim"], 1 << 20)?, head_dim)?;
        json.agree("state_size", layer.size(&["state_size", "d_state"], 1 << 16)?, state)?;
        if let Some((name, found)) = layer.get(&["norm_before_gate"]).filter(|(_, before)| **before != false) {
            return Err(layer.invalid(name, found, "false"));
        }
        reader.within("the state of a channel", state, 1, crate::kernels::MAX_STATE)?;
        let space = StateSpace { heads, head_dim, groups, state, step_limit: step_limit(layer)? };
        let config = Config { backbone, space };

        config.backbone.check_tensors(checkpoint, config.projected())?;
        for layer in 0..config.backbone.layers {
            let expect = |name: &str, shape: &[usize]| {
                checkpoint.expect(&format!("backbone.layers.{layer}.mixer.{name}"), shape).map(drop)
            };
            expect("dt_bias", &[heads])?;
            expect("A_log", &[heads])?;
            expect("D", &[heads])?;
            expect("norm.weight", &[channels])?;
        }
        Ok(config)
    }

    /// Width of the first projection: z, x, B, C and dt.
    pub fn projected(&self) -> usize {
        self.backbone.channels + self.backbone.conv_channels + self.space.heads
    }

    /// Name and value of every size.
    pub fn sizes(&self) -> Vec<(&'static str, String)> {
        let StateSpace { heads, head_dim, groups, state, step_limit: [least, most] } = self.space;
        let mut sizes = self.backbone.sizes();
        sizes.extend([
            ("heads", heads.to_string()),
            ("head_dim", head_dim.to_string()),
            ("groups", groups.to_string()),
            ("state", state.to_string()),
            ("step_limit", format!("{least} to {most}")),
        ]);
        sizes
    }
}

/// The least and the largest time step. Infinity has three spellings: a number that JSON lacks (a string by the time it is here), and
/// an object that newer configs put in its place.
fn step_limit(json: &Json<'_>) -> Result<[f32; 2], LoadError> {
    let Some((name, found)) = json.get(&["time_step_limit", "dt_limit"]) else { return Ok([0.0, f32::MAX]) };
    let number = |value: &Value| match value.get("__float__").unwrap_or(value).as_str() {
        Some("Infinity") => Some(f32::MAX),
        _ => value.as_f64().filter(|x| *x >= 0.0).map(|x| x.min(f64::from(f32::MAX)) as f32),
    };
    let limits: Option<Vec<f32>> = found.as_array().and_then(|limits| limits.iter().map(number).collect());
    match limits.as_deref() {
        Some(&[least, most]) if least <= most => Ok([least, most]),
        _ => Err(json.invalid(name, found, "two numbers from 0 on, in order")),
    }
}
