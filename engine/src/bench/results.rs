//! What a bench found, as a file: one versioned schema for every device, natively and in a browser. Nothing in it names a host or a user.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod validate;

pub use validate::{MAX_BYTES, ResultsError};

/// The schema that this version writes, and the only one that it reads.
pub const SCHEMA: &str = "fastweight-bench/1";

/// What is measured, and how: results compare only within one. Raised when a figure of the same name comes to mean something else.
pub const SUITE_VERSION: u32 = 2;

/// The results of one run of the bench on one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// [`SCHEMA`].
    pub schema: String,
    /// [`SUITE_VERSION`].
    pub suite_version: u32,
    /// What measured.
    pub engine: Engine,
    /// What was measured.
    pub device: DeviceFacts,
    /// Around it.
    pub system: System,
    /// How time was told.
    pub timer: Timer,
    /// What was asked for.
    pub settings: Settings,
    /// Day of the run, UTC: `2026-11-25`.
    pub date: String,
    /// Whether the figures can be trusted: the kernels were verified in this process, none exceeds its ceiling, no tab was hidden.
    pub valid: bool,
    /// Why not, a sentence each.
    pub invalid: Vec<String>,
    /// Whether every section that was asked for was finished.
    pub complete: bool,
    /// What the check of the kernels said; none if it was not run.
    pub verified: Option<Verified>,
    /// The fixed work done before, between and after the sections.
    pub sentinels: Vec<Sentinel>,
    /// What the device can do at best; none if the section was not run.
    pub ceilings: Option<Ceilings>,
    /// The models that were measured, by the subject of their figures.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, ModelFacts>,
    /// Every figure with every sample.
    pub measurements: Vec<Measurement>,
}

/// A model that was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFacts {
    /// Numbers in its weights.
    pub parameters: u64,
    /// Bytes of its weights as they are held.
    pub bytes: u64,
}

/// The engine that measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// Its version.
    pub version: String,
    /// The commit that it was built of, where the build knew.
    pub commit: Option<String>,
    /// SHA-256 over the names and texts of its WGSL files, in hexadecimal digits.
    pub wgsl: String,
}

/// The device that was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceFacts {
    /// The adapter's name, or `cpu`; a browser may hide it.
    pub name: String,
    /// The vendor, where it is told.
    pub vendor: String,
    /// `cpu`, `vulkan`, `metal`, `dx12` or `webgpu`.
    pub backend: String,
    /// `cpu`, `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub kind: String,
    /// The driver and its version, where they are told.
    pub driver: String,
    /// The limits in use, by name.
    pub limits: BTreeMap<String, u64>,
    /// The optional features in use.
    pub features: Vec<String>,
}

/// What the device was in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    /// `linux`, `macos`, `windows`, … or what the browser says.
    pub os: String,
    /// `x86_64`, `aarch64`, `wasm32`, …
    pub arch: String,
    /// Name and version, in a browser.
    pub browser: Option<String>,
    /// Settings of the environment that change what is measured, by name and value.
    pub flags: BTreeMap<String, String>,
    /// Threads of the CPU device.
    pub threads: usize,
    /// `mains`, `battery` or `unknown`.
    pub power: String,
    /// The processor's clock in MHz when the run began, where the system tells.
    pub clock_mhz: Option<u64>,
}

/// How time was told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timer {
    /// `timestamps` where the kernels' samples are the device's own, else `clock`.
    pub kind: TimerKind,
    /// Seconds of its smallest step.
    pub quantum: f64,
}

/// Who told the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimerKind {
    /// The device, at the beginning and the end of a pass.
    Timestamps,
    /// The host's clock, around the submit and the wait.
    Clock,
}

/// What was asked of the bench.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// A short run that covers every kernel.
    pub quick: bool,
    /// Samples of each figure.
    pub repetitions: usize,
    /// Seconds of rest before each sample.
    pub delay: f64,
    /// Seconds of load before the first.
    pub sustain: f64,
    /// Names of the figures to measure contain one of these; all if empty.
    pub only: Vec<String>,
    /// Seed of the order and of the random weights.
    pub seed: u64,
}

/// What the check of the kernels said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verified {
    /// Kernels.
    pub kernels: usize,
    /// Cases.
    pub cases: usize,
    /// Variants that were tried.
    pub variants: usize,
    /// What failed, a sentence each.
    pub failures: Vec<String>,
}

/// Fixed work, to see whether the machine changed meanwhile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sentinel {
    /// The section that it follows; `start` for the first.
    pub after: String,
    /// Bytes a second of a fixed copy.
    pub copy: f64,
    /// Operations a second of fixed multiply-adds.
    pub multiply_add: f64,
    /// The larger change against the first sentinel, as a share. Above 0.05 the sections on both sides of it are flagged.
    pub drift: f64,
}

/// What the device can do at best, of its own measured figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceilings {
    /// Bytes a second of reading, by the size of the working set, ascending.
    pub read: Vec<Bandwidth>,
    /// Bytes a second of copying, read and written together, by the size of the working set, ascending.
    pub copy: Vec<Bandwidth>,
    /// The largest working set that is still read at the caches' speed, in bytes; none where no knee shows.
    pub knee: Option<u64>,
    /// Operations a second in f32; a multiply-add counts two.
    pub f32: f64,
    /// The same in f16, where shaders have it.
    pub f16: Option<f64>,
    /// Seconds of a dispatch that does nothing, among many in a pass.
    pub dispatch: f64,
    /// Seconds of a submit of one such dispatch until the host knows that it is done.
    pub submit: f64,
    /// Seconds of the same with four bytes read back.
    pub read_back: f64,
}

/// A point of a curve of bandwidth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bandwidth {
    /// Size of the working set.
    pub bytes: u64,
    /// Bytes a second.
    pub rate: f64,
}

/// The part of the bench that a figure belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// What the device can do at best.
    Device,
    /// Each kernel at the shapes of real models.
    Kernels,
    /// Whole models.
    Models,
    /// Per-token against dual form of the inner step.
    Forms,
    /// A long run.
    Long,
}

/// Where a kernel finds its weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cache {
    /// In memory: copies are used in turn, of more than twice the caches' size together.
    Cold,
    /// In the caches, as far as they fit.
    Warm,
}

/// One figure with its samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// The part of the bench.
    pub section: Section,
    /// What is measured: `read 1048576`, a kernel's name, or a row of a model (`pp512`, `tg128 @ d8192`).
    pub name: String,
    /// Of what: the shape and format for a kernel, the model and its size (`ttt-linear 125m f16`) for a row.
    pub subject: String,
    /// Sequences side by side.
    pub batch: usize,
    /// The launch, for a kernel: file and choices.
    pub variant: Option<String>,
    /// Whether the planner would choose this variant; true for what has none.
    pub chosen: bool,
    /// Where a kernel finds its weights.
    pub cache: Option<Cache>,
    /// Who told the time of these samples.
    pub timer: TimerKind,
    /// Seconds of one unit of work each, in the order in which they were taken.
    pub samples: Vec<f64>,
    /// The clock's word of the same samples, where the device told their time.
    pub clock: Vec<f64>,
    /// When each sample was taken: its place among all samples of the section.
    pub order: Vec<usize>,
    /// One unit of work.
    pub work: Work,
    /// The share of the device's ceiling for its working set, of the fastest sample; none without ceilings.
    pub share: Option<f64>,
    /// Whether the machine drifted around it.
    pub flagged: bool,
}

/// One unit of work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// Tokens; 0 where there are none.
    pub tokens: f64,
    /// Tokens of context before them.
    pub context: f64,
    /// Floating-point operations; a multiply-add counts two.
    pub operations: f64,
    /// Bytes of every tensor, each once.
    pub least: f64,
    /// Bytes that are requested.
    pub moved: f64,
    /// Bytes of the session's state, for a model.
    pub state: f64,
    /// Bytes that are touched before any is touched again.
    pub working_set: f64,
}

impl Measurement {
    /// What it is the same figure as, in other results: all but the variant.
    pub fn key(&self) -> (Section, &str, &str, usize, Option<Cache>) {
        (self.section, &self.name, &self.subject, self.batch, self.cache)
    }
}

impl Results {
    /// Reads and checks a file's text.
    pub fn parse(file: &str, text: &str) -> Result<Results, ResultsError> {
        validate::parse(file, text)
    }

    /// The file's text, ending with a line break.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("numbers, strings and lists are JSON");
        text.push('\n');
        text
    }
}
