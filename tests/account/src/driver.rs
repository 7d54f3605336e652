//! The compiler of a Vulkan driver, asked what it made of a shader. Nothing is run: the driver may have no hardware.

use std::ffi::{CStr, c_char};

use anyhow::{Context, Result, anyhow, ensure};
use ash::{Device, Entry, Instance, khr, vk};

use crate::spirv::Binary;

/// An open device.
pub struct Driver {
    // Held while the device is used.
    _entry: Entry,
    _instance: Instance,
    device: Device,
    executables: khr::pipeline_executable_properties::Device,
    /// The device's name.
    pub name: String,
    /// The driver's name and version.
    pub version: String,
}

/// What became of a shader.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// Name and value of each of the driver's figures.
    figures: Vec<(String, u64)>,
    /// Invocations that run in step.
    pub subgroup: u32,
    /// The instructions, as text.
    pub listing: String,
}

impl Compiled {
    /// A figure by the driver's name of it.
    pub fn figure(&self, name: &str) -> Result<u64> {
        let found = self.figures.iter().find(|(n, _)| n == name).map(|(_, value)| *value);
        found.with_context(|| format!("the driver gives no {name:?}, but {:?}", self.figures))
    }
}

fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().take_while(|c| **c != 0).map(|c| *c as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Driver {
    /// Opens the first device that the Vulkan loader finds.
    pub fn open() -> Result<Driver> {
        // SAFETY: the loader is the system's; every structure lives as long as the call that takes it.
        unsafe {
            let entry = Entry::load()?;
            let about = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let instance = entry.create_instance(&vk::InstanceCreateInfo::default().application_info(&about), None)?;
            let physical = *instance.enumerate_physical_devices()?.first().context("the driver has no device")?;
            let mut details = vk::PhysicalDeviceDriverProperties::default();
            let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut details);
            instance.get_physical_device_properties2(physical, &mut properties);
            let name = text(&properties.properties.device_name);
            let version = format!("{} {}", text(&details.driver_name), text(&details.driver_info));

            // What wgpu turns on that a compiler sees, and the figures.
            let core = vk::PhysicalDeviceFeatures::default().robust_buffer_access(true);
            let mut v11 = vk::PhysicalDeviceVulkan11Features::default()
                .storage_buffer16_bit_access(true)
                .uniform_and_storage_buffer16_bit_access(true)
                .storage_input_output16(true);
            let mut v12 = vk::PhysicalDeviceVulkan12Features::default().shader_float16(true).timeline_semaphore(true);
            let mut v13 = vk::PhysicalDeviceVulkan13Features::default()
                .shader_zero_initialize_workgroup_memory(true)
                .subgroup_size_control(true)
                .robust_image_access(true);
            let mut robust = vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(true);
            let mut figures = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
            let extensions = [ash::ext::robustness2::NAME.as_ptr(), khr::pipeline_executable_properties::NAME.as_ptr()];
            let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
            let wanted = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queues)
                .enabled_extension_names(&extensions)
                .enabled_features(&core)
                .push_next(&mut v11)
                .push_next(&mut v12)
                .push_next(&mut v13)
                .push_next(&mut robust)
                .push_next(&mut figures);
            let device = instance.create_device(physical, &wanted, None).with_context(|| format!("opening {name}"))?;
            let executables = khr::pipeline_executable_properties::Device::new(&instance, &device);
            Ok(Driver { _entry: entry, _instance: instance, device, executables, name, version })
        }
    }

    /// Compiles a shader whose operands lie at these places.
    pub fn compile(&self, binary: &Binary, places: &[(u32, u32)]) -> Result<Compiled> {
        // SAFETY: naga wrote valid SPIR-V for these places; every structure lives as long as the call that takes it, and nothing is used after it
        // was destroyed.
        unsafe {
            let sets = (0..4).map(|group| self.set(group, places)).collect::<Result<Vec<_>, _>>()?;
            let layout = self.device.create_pipeline_layout(&vk::PipelineLayoutCreateInfo::default().set_layouts(&sets), None)?;
            let module = self.device.create_shader_module(&vk::ShaderModuleCreateInfo::default().code(&binary.words), None)?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .flags(vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE)
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(c"main");
            let flags =
                vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
            let wanted = [vk::ComputePipelineCreateInfo::default().flags(flags).stage(stage).layout(layout)];
            let made = self.device.create_compute_pipelines(vk::PipelineCache::null(), &wanted, None);
            let pipeline = made.map_err(|(_, e)| anyhow!(e))?[0];
            let compiled = self.look(pipeline);
            self.device.destroy_pipeline(pipeline, None);
            self.device.destroy_shader_module(module, None);
            self.device.destroy_pipeline_layout(layout, None);
            sets.into_iter().for_each(|set| self.device.destroy_descriptor_set_layout(set, None));
            compiled
        }
    }

    /// The layout of a group; the last has the step values, of which a run finds its own by an offset.
    unsafe fn set(&self, group: u32, places: &[(u32, u32)]) -> Result<vk::DescriptorSetLayout, vk::Result> {
        let binding = |binding, ty| {
            let layout = vk::DescriptorSetLayoutBinding::default().binding(binding).descriptor_type(ty);
            layout.descriptor_count(1).stage_flags(vk::ShaderStageFlags::COMPUTE)
        };
        let bindings: Vec<_> = match group {
            3 => (0..2).map(|i| binding(i, vk::DescriptorType::UNIFORM_BUFFER_DYNAMIC)).collect(),
            _ => {
                let here = places.iter().filter(|(g, _)| *g == group);
                here.map(|(_, i)| binding(*i, vk::DescriptorType::STORAGE_BUFFER)).collect()
            }
        };
        let wanted = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        // SAFETY: the device is open, and the bindings outlive the call.
        unsafe { self.device.create_descriptor_set_layout(&wanted, None) }
    }

    unsafe fn look(&self, pipeline: vk::Pipeline) -> Result<Compiled> {
        let (about, executable) =
            (vk::PipelineInfoKHR::default().pipeline(pipeline), vk::PipelineExecutableInfoKHR::default().pipeline(pipeline));
        // SAFETY: the pipeline was made on this device to be looked at; each text is given the room that the driver asked for.
        unsafe {
            let parts = self.executables.get_pipeline_executable_properties(&about)?;
            ensure!(parts.len() == 1, "{} executables in a pipeline of one stage", parts.len());
            let subgroup = parts[0].subgroup_size;
            let figures = self.executables.get_pipeline_executable_statistics(&executable)?;
            let figures = figures.iter().map(|f| (text(&f.name), f.value.u64)).collect();
            let mut forms = self.executables.get_pipeline_executable_internal_representations(&executable)?;
            let mut texts: Vec<Vec<u8>> = forms.iter().map(|f| vec![0; f.data_size]).collect();
            forms.iter_mut().zip(&mut texts).for_each(|(form, text)| form.p_data = text.as_mut_ptr().cast());
            let (get, mut count) =
                (self.executables.fp().get_pipeline_executable_internal_representations_khr, forms.len() as u32);
            get(self.executables.device(), &executable, &mut count, forms.as_mut_ptr()).result()?;
            let listing = forms.iter().zip(&texts).find(|(form, _)| text(&form.name) == "Assembly");
            let (_, listing) = listing
                .with_context(|| format!("no assembly among {:?}", forms.iter().map(|f| text(&f.name)).collect::<Vec<_>>()))?;
            let listing = CStr::from_bytes_until_nul(listing).map_or_else(|_| listing.as_slice(), CStr::to_bytes);
            Ok(Compiled { figures, subgroup, listing: String::from_utf8_lossy(listing).into_owned() })
        }
    }
}
