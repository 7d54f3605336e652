//! What a device allows, as plain data: the planner and the kernels decide by it, and tests lower it.

use std::sync::Arc;

use serde::Serialize;

use crate::tuning::Tuning;

/// Limits and optional features of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Caps {
    /// Bytes that one binding may cover.
    pub binding_bytes: u64,
    /// Bytes of one buffer.
    pub buffer_bytes: u64,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Invocations in one workgroup.
    pub workgroup_invocations: u32,
    /// Workgroups along one axis of a dispatch.
    pub workgroups_axis: u32,
    /// Storage buffers that one kernel may bind.
    pub storage_buffers: u32,
    /// Where in a buffer a binding may start, in bytes.
    pub offset_alignment: u64,
    /// Whether shaders may compute in f16.
    pub shader_f16: bool,
    /// Rounds of loops, of all loops together, after which the driver silently ends them; no GPU does, but lavapipe does.
    pub loop_rounds: u64,
    /// Smallest and largest subgroup, where shaders may use them.
    pub subgroups: Option<(u32, u32)>,
    /// What was found of the kernels' variants there.
    #[serde(skip)]
    pub tuning: Arc<Tuning>,
}

impl Default for Caps {
    /// The limits that WebGPU guarantees everywhere, and no optional feature.
    fn default() -> Caps {
        Caps {
            binding_bytes: 128 << 20,
            buffer_bytes: 256 << 20,
            workgroup_bytes: 16 << 10,
            workgroup_invocations: 256,
            workgroups_axis: 65_535,
            storage_buffers: 8,
            offset_alignment: 256,
            shader_f16: false,
            loop_rounds: u64::MAX,
            subgroups: None,
            tuning: Arc::default(),
        }
    }
}

impl Caps {
    /// Whether subgroups are those of a CPU's vector units, for which SwiftShader and lavapipe compile, or of Bifrost GPUs. A workgroup's memory is no
    /// faster there than any other, so that a copy in it only costs; and on a CPU invocations without work cost as much as those with.
    pub fn narrow(&self) -> bool {
        self.subgroups.is_some_and(|(_, largest)| largest <= 8)
    }

    /// The limits of the CPU device: what the address space holds.
    pub fn unlimited() -> Caps {
        Caps { binding_bytes: u64::MAX, buffer_bytes: u64::MAX, ..Caps::default() }
    }

    /// The same without the optional features.
    pub fn without_features(&self) -> Caps {
        Caps { shader_f16: false, subgroups: None, ..self.clone() }
    }
}
