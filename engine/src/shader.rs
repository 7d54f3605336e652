//! Links a shader with its choices into one WGSL source: constants, step values, shared files and fillings of holes are put
//! in front of the kernel's file, and each operand's `@group` and `@binding` follow from who owns its buffer.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use crate::kernels::Launch;

/// Who compiles a source. Browsers want to be told by `enable` lines what optional features it uses; naga 30 rejects the line for
/// subgroups and takes them without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compiler {
    /// naga, natively.
    Naga,
    /// A browser's own.
    Browser,
}

impl Compiler {
    /// The one that this build's devices have.
    pub const HERE: Compiler = if cfg!(target_arch = "wasm32") { Compiler::Browser } else { Compiler::Naga };
}

/// How a shader uses a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read only.
    Read,
    /// Read and written.
    ReadWrite,
}

/// A linked shader.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Linked {
    /// The whole WGSL source.
    pub source: String,
    /// How each operand is used, in binding order.
    pub access: Vec<Access>,
}

/// Why a shader can't be linked: a mistake in the project, not in what a user gave.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LinkError {
    /// No such file.
    #[error("there is no shader file {0}.wgsl")]
    NoFile(String),
    /// The launch and the shader disagree about the operands.
    #[error("{file}.wgsl: {problem}")]
    Operands {
        /// The kernel's file.
        file: &'static str,
        /// What differs.
        problem: String,
    },
}

/// A hash of every WGSL file, as hexadecimal digits: what was found of the kernels on a device holds for these.
pub fn fingerprint() -> String {
    // A start on a GPU asks for it several times.
    static FINGERPRINT: LazyLock<String> = LazyLock::new(|| {
        let mut hasher = Sha256::new();
        for (name, text) in fastweight_shaders::SOURCES {
            for part in [name, text] {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()
    });
    FINGERPRINT.clone()
}

/// The conventional places of `n` operands: all in group 0, in order.
pub fn plain_places(n: usize) -> Vec<(u32, u32)> {
    (0..n as u32).map(|i| (0, i)).collect()
}

/// Links `launch` for `compiler`; `places` are the group and binding of each operand, in binding order.
pub fn link(launch: &Launch, places: &[(u32, u32)], compiler: Compiler) -> Result<Linked, LinkError> {
    let operands = |problem: String| LinkError::Operands { file: launch.file, problem };
    if places.len() != launch.bindings.len() {
        return Err(operands(format!("has {} operands, launched with {}", launch.bindings.len(), places.len())));
    }
    let mut source = String::new();
    let told = |extension: &&&str| compiler == Compiler::Browser || **extension != "subgroups";
    for extension in launch.enables.iter().filter(told) {
        source.push_str(&format!("enable {extension};\n"));
    }
    for (name, value) in &launch.consts {
        source.push_str(&format!("const {name}: u32 = {value}u;\n"));
    }
    let mut access = vec![None; places.len()];
    for file in ["parts/step"]
        .into_iter()
        .map(String::from)
        .chain(launch.parts.iter().map(|p| format!("parts/{p}")))
        .chain([launch.file.to_string()])
    {
        let text = fastweight_shaders::source(&file).ok_or_else(|| LinkError::NoFile(file.clone()))?;
        for line in text.lines() {
            match storage_binding(line) {
                Some((name, used, rest)) => {
                    let i = launch.bindings.iter().position(|b| *b == name);
                    let i = i.ok_or_else(|| operands(format!("binds {name}, which the launch does not name")))?;
                    access[i] = Some(used);
                    let (group, binding) = places[i];
                    source.push_str(&format!("@group({group}) @binding({binding}) {rest}"));
                }
                None => source.push_str(line),
            }
            source.push('\n');
        }
    }
    let unbound = |i: usize| operands(format!("does not bind {}", launch.bindings[i]));
    let access = access.into_iter().enumerate().map(|(i, a)| a.ok_or_else(|| unbound(i))).collect::<Result<_, _>>()?;
    Ok(Linked { source, access })
}

/// The name, the access and the declaration of a storage buffer, if this line declares one.
pub fn storage_binding(line: &str) -> Option<(&str, Access, &str)> {
    let rest = &line[line.find("var<storage")?..];
    if !line.starts_with("@group(") {
        return None;
    }
    let access = if rest.starts_with("var<storage, read_write>") { Access::ReadWrite } else { Access::Read };
    let name = rest.split_once('>')?.1.split(':').next()?.trim();
    Some((name, access, rest))
}
