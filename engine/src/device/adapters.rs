//! The adapters that the system offers, and which of them a choice means.

use serde::{Deserialize, Serialize};

use super::{Choice, DeviceError};

/// What is to be known of an adapter before it is opened.
#[derive(Debug, Clone, Serialize)]
pub struct AdapterReport {
    /// The name that `--device` takes: `vulkan:0`.
    pub id: String,
    /// The adapter's own name.
    pub name: String,
    /// `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub kind: &'static str,
    /// The driver and its version.
    pub driver: String,
    /// Bytes that one binding may cover.
    pub max_binding_bytes: u64,
    /// Bytes of one buffer.
    pub max_buffer_bytes: u64,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Invocations in one workgroup.
    pub workgroup_invocations: u32,
    /// Whether shaders may compute in f16.
    pub shader_f16: bool,
    /// Smallest and largest subgroup, where shaders may use them.
    pub subgroups: Option<(u32, u32)>,
    /// Whether the device can stamp times.
    pub timestamps: bool,
    /// Whether `auto` takes it.
    pub auto: bool,
}

/// Who a device is, as far as its system tells. With the engine's version and [`crate::shader::fingerprint`] it is what measurements of the
/// device belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The adapter's own name, or `cpu`. A browser may hide it.
    pub name: String,
    /// Who made it; empty where that is not told.
    pub vendor: String,
    /// `vulkan`, `metal`, `dx12`, `webgpu` or `cpu`.
    pub backend: String,
    /// `discrete`, `integrated`, `virtual`, `software`, `other` or `cpu`.
    pub kind: String,
    /// The driver and its version. A browser hides it.
    pub driver: String,
}

impl Identity {
    pub(super) fn cpu() -> Identity {
        Identity { name: "cpu".into(), vendor: String::new(), backend: "cpu".into(), kind: "cpu".into(), driver: String::new() }
    }

    pub(super) fn of(info: wgpu::AdapterInfo) -> Identity {
        let (backend, kind) = (backend(&info).to_string(), kind(&info).to_string());
        Identity { vendor: vendor(&info), backend, kind, driver: driver(&info), name: info.name }
    }
}

pub(super) enum Chosen {
    Cpu(String),
    Adapter(wgpu::Adapter, String),
}

async fn enumerate() -> Vec<wgpu::Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    #[cfg(target_arch = "wasm32")]
    return instance.request_adapter(&wgpu::RequestAdapterOptions::default()).await.into_iter().collect();
    #[cfg(not(target_arch = "wasm32"))]
    instance.enumerate_adapters(wgpu::Backends::PRIMARY).await
}

fn backend(info: &wgpu::AdapterInfo) -> &'static str {
    match info.backend {
        wgpu::Backend::Vulkan => "vulkan",
        wgpu::Backend::Metal => "metal",
        wgpu::Backend::Dx12 => "dx12",
        wgpu::Backend::BrowserWebGpu => "webgpu",
        _ => "other",
    }
}

/// The maker, by the number that PCI or Khronos gave it.
fn vendor(info: &wgpu::AdapterInfo) -> String {
    match info.vendor {
        0 => String::new(),
        0x1002 => "AMD".into(),
        0x106b => "Apple".into(),
        0x10de => "NVIDIA".into(),
        0x13b5 => "Arm".into(),
        0x1414 => "Microsoft".into(),
        0x5143 => "Qualcomm".into(),
        0x8086 => "Intel".into(),
        0x10005 => "Mesa".into(),
        other => format!("{other:#x}"),
    }
}

fn driver(info: &wgpu::AdapterInfo) -> String {
    format!("{} {}", info.driver, info.driver_info).trim().to_string()
}

fn kind(info: &wgpu::AdapterInfo) -> &'static str {
    match info.device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete",
        wgpu::DeviceType::IntegratedGpu => "integrated",
        wgpu::DeviceType::VirtualGpu => "virtual",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::Other => "other",
    }
}

/// The adapters with the names that a choice may give them.
async fn named() -> Vec<(String, wgpu::Adapter)> {
    let mut named: Vec<(String, wgpu::Adapter)> = Vec::new();
    for adapter in enumerate().await {
        let backend = backend(&adapter.get_info());
        let index = named.iter().filter(|(id, _)| id.starts_with(backend)).count();
        named.push((format!("{backend}:{index}"), adapter));
    }
    named
}

/// The adapter that `auto` takes: a discrete GPU before an integrated one before whatever else is no software.
fn automatic(named: &[(String, wgpu::Adapter)]) -> Option<usize> {
    let rank = |adapter: &wgpu::Adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => Some(0),
        wgpu::DeviceType::IntegratedGpu => Some(1),
        wgpu::DeviceType::VirtualGpu => Some(2),
        // A browser hides what the adapter is; it is then taken for a GPU.
        wgpu::DeviceType::Other => Some(3),
        wgpu::DeviceType::Cpu => None,
    };
    let ranked = named.iter().enumerate().filter_map(|(i, (_, adapter))| Some((rank(adapter)?, i)));
    ranked.min().map(|(_, i)| i)
}

/// Every adapter, with what matters of it.
pub async fn adapters() -> Vec<AdapterReport> {
    let named = named().await;
    let auto = automatic(&named);
    let report = |(i, (id, adapter)): (usize, &(String, wgpu::Adapter))| {
        let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
        let subgroups = features.contains(wgpu::Features::SUBGROUP);
        AdapterReport {
            id: id.clone(),
            kind: kind(&info),
            driver: driver(&info),
            name: info.name,
            max_binding_bytes: limits.max_storage_buffer_binding_size,
            max_buffer_bytes: limits.max_buffer_size,
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
            workgroup_invocations: limits.max_compute_invocations_per_workgroup,
            shader_f16: features.contains(wgpu::Features::SHADER_F16),
            subgroups: subgroups.then_some((info.subgroup_min_size, info.subgroup_max_size)),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            auto: auto == Some(i),
        }
    };
    named.iter().enumerate().map(report).collect()
}

pub(super) async fn choose(choice: &Choice) -> Result<Chosen, DeviceError> {
    if *choice == Choice::Cpu {
        return Ok(Chosen::Cpu("asked for".into()));
    }
    let mut named = named().await;
    let list = |of: &[(String, wgpu::Adapter)]| {
        let names: Vec<String> = of.iter().map(|(id, a)| format!("{id} ({})", a.get_info().name)).collect();
        if names.is_empty() { "cpu".to_string() } else { format!("cpu, {}", names.join(", ")) }
    };
    let not_found = || DeviceError::NotFound { wanted: choice.to_string(), found: list(&named) };
    let (index, why) = match choice {
        Choice::Cpu => unreachable!("answered above"),
        Choice::Auto => match automatic(&named) {
            Some(index) => (index, "a GPU"),
            None if named.is_empty() => return Ok(Chosen::Cpu("no GPU was found".into())),
            None => {
                let why = format!("no GPU was found, only software: {}", list(&named).replacen("cpu, ", "", 1));
                return Ok(Chosen::Cpu(why));
            }
        },
        Choice::Software => {
            let index = named.iter().position(|(_, a)| a.get_info().device_type == wgpu::DeviceType::Cpu);
            (index.ok_or_else(not_found)?, "asked for")
        }
        Choice::Adapter { backend, index } => {
            let id = format!("{backend}:{index}");
            (named.iter().position(|(name, _)| *name == id).ok_or_else(not_found)?, "asked for")
        }
        Choice::Name(part) => {
            let part = part.to_lowercase();
            let matching = |(_, a): &&(String, wgpu::Adapter)| a.get_info().name.to_lowercase().contains(&part);
            let matches: Vec<String> =
                named.iter().filter(matching).map(|(id, a)| format!("{id} ({})", a.get_info().name)).collect();
            if matches.len() > 1 {
                return Err(DeviceError::Ambiguous { wanted: choice.to_string(), found: matches.join(", ") });
            }
            (named.iter().position(|n| matching(&n)).ok_or_else(not_found)?, "asked for")
        }
    };
    Ok(Chosen::Adapter(named.swap_remove(index).1, why.into()))
}
