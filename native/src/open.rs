//! Finding a model and a device.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use fastweight::device::Device;
use fastweight::generate::{LoadOptions, Model, Progress};
use fastweight::load::{self, Opened};

use crate::args::{Args, Text};
use crate::hub::{self, Name};
use crate::{compiled, progress, tuning};

/// The model that ships with the project.
const SHIPPED: &str = "ttt-linear-stories-6m";

/// The folders that may hold a folder `models`: the current one and the program's own, with all above them.
fn roots() -> Vec<PathBuf> {
    let mut roots = Vec::new();
    let starts = [std::env::current_dir().ok(), std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_path_buf()))];
    for start in starts.into_iter().flatten() {
        roots.extend(start.ancestors().map(Path::to_path_buf));
    }
    roots.extend(data_folders());
    roots
}

/// Where the program keeps the user's data; the folder need not be there.
pub(crate) fn data_folders() -> impl Iterator<Item = PathBuf> {
    let home = |name: &str, rest: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(|v| PathBuf::from(v).join(rest));
    let data = home("XDG_DATA_HOME", "fastweight").or_else(|| home("HOME", ".local/share/fastweight"));
    data.into_iter().chain(home("LOCALAPPDATA", "fastweight"))
}

/// The path of a model that was asked for, or of the one that ships.
fn model_path(args: &Args, model: Option<&str>) -> anyhow::Result<PathBuf> {
    let mut tried = Vec::new();
    if let Some(model) = model {
        let path = PathBuf::from(model);
        if path.exists() {
            return Ok(path);
        }
        if let Some(name) = Name::parse(model)? {
            return hub::path(&name, args);
        }
        tried.push(path);
    }
    let name = model.unwrap_or(SHIPPED);
    if !name.contains(['/', '\\']) && !name.starts_with('.') {
        for root in roots() {
            let path = root.join("models").join(name);
            if path.is_dir() {
                return Ok(path);
            }
            if !tried.contains(&path) {
                tried.push(path);
            }
        }
    }
    let tried: Vec<String> = tried.iter().map(|p| format!("  {}", p.display())).collect();
    bail!(
        "no model {name}; tried:\n{}\nname one with --model or FASTWEIGHT_MODEL; of the Hugging Face hub, as hf:org/name",
        tried.join("\n")
    );
}

/// Opens the model's files.
pub(crate) async fn files(args: &Args) -> anyhow::Result<Opened> {
    files_of(args, args.model.as_deref()).await
}

async fn files_of(args: &Args, model: Option<&str>) -> anyhow::Result<Opened> {
    let mut opened = load::open_path(&model_path(args, model)?).await?;
    opened.checkpoint.dtype = args.dtype;
    Ok(opened)
}

/// Opens the device, and says which and why.
pub(crate) async fn device(args: &Args) -> anyhow::Result<Device> {
    let device = Device::open(&args.device).await?;
    if !args.quiet {
        eprintln!("device: {} ({})", device.name(), device.why());
    }
    compiled::recall(&device);
    Ok(tuning::remembered(args, device))
}

/// Loads the model onto the device.
pub(crate) async fn model(args: &Args, device: &Device) -> anyhow::Result<Model> {
    model_of(args, args.model.as_deref(), device).await
}

/// Loads a model that was named otherwise than by `--model`, or the one that ships, with a progress bar if it takes long.
pub(crate) async fn model_of(args: &Args, model: Option<&str>, device: &Device) -> anyhow::Result<Model> {
    let opened = files_of(args, model).await?;
    let mut options =
        LoadOptions { dtype: args.dtype, context_size: args.ctx_size, cache: Some(args.cache_type), ..LoadOptions::default() };
    let device = &tuning::tuned(args, device, &opened, &options).await?;
    let bar = progress::bar(args, "loading {bytes} of {total_bytes} {wide_bar} {eta}");
    let mut progress = |p: Progress| {
        bar.set_length(p.total);
        bar.set_position(p.loaded);
    };
    options.memory = memory(device);
    options.progress = Some(&mut progress);
    let model = Model::load(opened, device, options).await;
    bar.finish_and_clear();
    Ok(model?)
}

/// Bytes that a device may use, where that is known: what a GPU has left is not; what the system has bounds the CPU and software devices.
pub(crate) fn memory(device: &Device) -> Option<u64> {
    if !matches!(device.identity().kind.as_str(), "cpu" | "software") {
        return None;
    }
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    Some(system.available_memory()).filter(|bytes| *bytes > 0)
}

/// The text that was given, or what stdin holds if it is no terminal.
pub(crate) fn text(given: &Text, stdin: bool) -> anyhow::Result<Option<String>> {
    if let Some(text) = &given.text {
        return Ok(Some(text.clone()));
    }
    let mut text = String::new();
    match &given.file {
        Some(file) if file.as_os_str() != "-" => {
            return Ok(Some(std::fs::read_to_string(file).with_context(|| file.display().to_string())?));
        }
        Some(_) => {}
        None if stdin && !std::io::stdin().is_terminal() => {}
        None => return Ok(None),
    }
    std::io::stdin().read_to_string(&mut text).context("stdin")?;
    Ok(Some(text))
}
