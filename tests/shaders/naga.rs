//! What naga makes of every linked shader, at the limits of the least device that it is for and without optional features.

use fastweight::caps::Caps;
use naga::back::{PipelineConstants, hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ShaderStage};

use super::{Compiled, Compiler, Launched, expect_none, plain_places, shaders, spread_places};

/// What a shader may use: nothing optional that its launch does not tell of, since every kernel works everywhere. `unpack2x16float` is part of
/// WebGPU; naga counts it as a capability for the sake of old GLES.
const ALLOWED: Capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;

/// Parses and validates a source.
pub(super) fn parse(source: &str, enables: &[&str]) -> Result<(Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    let allowed = enables.iter().fold(ALLOWED, |allowed, extension| {
        allowed
            | match *extension {
                "f16" => Capabilities::SHADER_FLOAT16,
                "subgroups" => Capabilities::SUBGROUP,
                other => panic!("what does {other} need?"),
            }
    });
    let info = Validator::new(ValidationFlags::all(), allowed).validate(&module);
    Ok((module, info.map_err(|e| e.emit_to_string(source))?))
}

/// Translates the shader as a driver would be given it, and checks what it asks of a device with so much workgroup memory.
fn translate(shader: &Compiled, workgroup_bytes: u32) -> Result<(), String> {
    let (module, info) = parse(&shader.source, &shader.enables)?;
    let constants: PipelineConstants = shader.constants().map(|(n, v)| (n.to_string(), v)).collect();
    let specialised = naga::back::pipeline_constants::process_overrides(&module, &info, None, &constants);
    let (module, info) = specialised.map_err(|e| format!("overrides: {e}"))?;
    let (module, info) = (&*module, &*info);

    let entry = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: "main".into() };
    spv::write_vec(module, info, &spv::Options::default(), Some(&entry)).map_err(|e| format!("SPIR-V: {e}"))?;

    let options = msl::Options { lang_version: (2, 0), ..Default::default() };
    let (_, written) = msl::write_string(module, info, &options, &Default::default()).map_err(|e| format!("MSL: {e}"))?;
    written.entry_point_names.into_iter().collect::<Result<Vec<_>, _>>().map_err(|e| format!("MSL: {e}"))?;

    let (mut text, options, entry) = (String::new(), hlsl::Options::default(), hlsl::PipelineOptions::default());
    let written = hlsl::Writer::new(&mut text, &options, &entry).write(module, info, None).map_err(|e| format!("HLSL: {e}"))?;
    written.entry_point_names.into_iter().collect::<Result<Vec<_>, _>>().map_err(|e| format!("HLSL: {e}"))?;

    within_limits(module, info, workgroup_bytes)
}

/// Checks workgroup memory, invocations and storage buffers of the entry point.
fn within_limits(module: &Module, info: &ModuleInfo, most_workgroup_bytes: u32) -> Result<(), String> {
    let [entry] = &module.entry_points[..] else { return Err(format!("{} entry points", module.entry_points.len())) };
    let uses = info.get_entry_point(0);
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).map_err(|e| e.to_string())?;
    let (mut workgroup_bytes, mut buffers) = (0, 0);
    for (_, variable) in module.global_variables.iter().filter(|(handle, _)| !uses[*handle].is_empty()) {
        match variable.space {
            // WebGPU counts each variable in whole groups of 16 bytes.
            AddressSpace::WorkGroup => workgroup_bytes += layouter[variable.ty].size.next_multiple_of(16),
            AddressSpace::Storage { .. } => buffers += 1,
            _ => {}
        }
    }
    let most = Caps::default();
    let limits = [
        ("bytes of workgroup memory", workgroup_bytes, most_workgroup_bytes),
        ("invocations", entry.workgroup_size.iter().product(), most.workgroup_invocations),
        ("storage buffers", buffers, most.storage_buffers),
    ];
    match limits.into_iter().find(|(_, needed, had)| needed > had) {
        Some((what, needed, had)) => Err(format!("{needed} {what}, the device has {had}")),
        None => Ok(()),
    }
}

#[test]
fn every_shader_translates_to_every_language_within_the_limits() {
    let mut failures = Vec::new();
    let shaders = |places: fn(usize) -> Vec<(u32, u32)>| shaders(Compiler::Naga, places);
    for (shader, Launched { about, workgroup_bytes, .. }) in shaders(plain_places).into_iter().chain(shaders(spread_places)) {
        if let Err(problem) = translate(&shader, workgroup_bytes) {
            failures.push(format!("{about}: {problem}"));
        }
    }
    expect_none(&failures);
}
