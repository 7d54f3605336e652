//! WGSL to SPIR-V, with the settings that wgpu 30 has for a Vulkan device like this one.

use anyhow::{Result, anyhow, bail};
use fastweight::kernels::Launch;
use fastweight::shader::{Compiler, link};
use naga::back::{PipelineConstants, pipeline_constants::process_overrides, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{ShaderStage, front::wgsl};

/// What a driver is given.
pub struct Binary {
    pub words: Vec<u32>,
    /// Invocations of a workgroup.
    pub invocations: u32,
}

/// What wgpu puts around loops and indices of arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checks {
    /// As it does by default: a loop ends some time, an index lies inside.
    Usual,
    /// As it does where a program vouches for its shaders, which a browser does not let it.
    None,
}

/// Links and translates a launch.
pub fn translate(launch: &Launch, places: &[(u32, u32)], checks: Checks) -> Result<Binary> {
    let source = link(launch, places, Compiler::Naga)?.source;
    let module = wgsl::parse_str(&source).map_err(|e| anyhow!(e.emit_to_string(&source)))?;
    let mut allowed = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    for extension in &launch.enables {
        allowed |= match *extension {
            "f16" => Capabilities::SHADER_FLOAT16,
            "subgroups" => Capabilities::SUBGROUP,
            other => bail!("what does {other} need?"),
        };
    }
    let info = Validator::new(ValidationFlags::all(), allowed).validate(&module);
    let info = info.map_err(|e| anyhow!(e.emit_to_string(&source)))?;
    let constants: PipelineConstants = launch.overrides.iter().map(|(n, v)| (n.to_string(), *v)).collect();
    let (module, info) = process_overrides(&module, &info, Some((ShaderStage::Compute, "main")), &constants)?;
    let options = spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
        fake_missing_bindings: false,
        // Buffers are checked by the device (robustBufferAccess2), arrays by the shader.
        bounds_check_policies: BoundsCheckPolicies {
            index: if checks == Checks::Usual { BoundsCheckPolicy::Restrict } else { BoundsCheckPolicy::Unchecked },
            buffer: BoundsCheckPolicy::Unchecked,
            image_load: BoundsCheckPolicy::Unchecked,
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::Native,
        force_loop_bounding: checks == Checks::Usual,
        emit_int_div_checks: checks == Checks::Usual,
        binding_map: binding_map(places),
        ..Default::default()
    };
    let entry = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: "main".into() };
    let words = spv::write_vec(&module, &info, &options, Some(&entry))?;
    let invocations = module.entry_points[0].workgroup_size.iter().product();
    Ok(Binary { words, invocations })
}

/// Groups and bindings become sets and bindings of the same numbers.
fn binding_map(places: &[(u32, u32)]) -> spv::BindingMap {
    let step_values = [(3, 0), (3, 1)];
    let same = |(group, binding): &(u32, u32)| {
        let info = spv::BindingInfo { descriptor_set: *group, binding: *binding, binding_array_size: None };
        (naga::ResourceBinding { group: *group, binding: *binding }, info)
    };
    places.iter().chain(&step_values).map(same).collect()
}
