//! What can be typed.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use fastweight::device::Choice;
use fastweight::kernels::KERNELS;
use fastweight::tensor::DType;

use crate::profile::Profiling;

pub(crate) mod bench;

/// Run models that learn while they read, on any GPU or on the CPU.
#[derive(Debug, Parser)]
#[command(
    name = "fastweight",
    version,
    about = "Run models that learn while they read, on any GPU or on the CPU",
    propagate_version = true
)]
pub(crate) struct Args {
    /// Model: a folder, a weight file, the name of a model that ships with the project, or hf:org/name[:file or quantisation]
    #[arg(
        short,
        long,
        global = true,
        help_heading = "Options of every command",
        env = "FASTWEIGHT_MODEL",
        value_name = "PATH|NAME"
    )]
    pub(crate) model: Option<String>,

    /// Device: auto, cpu, software, vulkan:N, metal:N, dx12:N or name:PART, as `fastweight devices` lists them
    #[arg(short, long, global = true, help_heading = "Options of every command", default_value = "auto", value_name = "DEVICE")]
    pub(crate) device: Choice,

    /// Positions that a session of a Transformer may have [default: as the model was trained for, at most 4096]; for `eval`, tokens of a
    /// window [default: 2048]
    #[arg(short = 'c', long, global = true, help_heading = "Options of every command", value_name = "N")]
    pub(crate) ctx_size: Option<usize>,

    /// Numbers in a Transformer's cache: f32 or f16
    #[arg(long, global = true, help_heading = "Options of every command", default_value = "f32", value_name = "TYPE", value_parser = cache_type)]
    pub(crate) cache_type: DType,

    /// Hold matrices as f32, f16, bf16, q8_0, q4_0 or q4_1 [default: as the file has them]
    #[arg(long, global = true, help_heading = "Options of every command", value_name = "TYPE")]
    pub(crate) dtype: Option<DType>,

    /// Threads of the CPU device [default: all cores]
    #[arg(short, long, global = true, help_heading = "Options of every command", value_name = "N", value_parser = positive)]
    pub(crate) threads: Option<usize>,

    /// Say more on stderr; twice for still more
    #[arg(short, long, global = true, help_heading = "Options of every command", action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Say nothing on stderr but errors
    #[arg(short, long, global = true, help_heading = "Options of every command", conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Fetch nothing: use only models that are on this machine
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        env = "HF_HUB_OFFLINE",
        value_parser = clap::builder::FalseyValueParser::new()
    )]
    pub(crate) offline: bool,

    /// Don't check the kernels on a GPU when it is first used, nor choose their variants by what was found there
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        env = "FASTWEIGHT_NO_TUNE",
        value_parser = clap::builder::FalseyValueParser::new()
    )]
    pub(crate) no_tune: bool,

    /// Print results as JSON
    #[arg(long, global = true, help_heading = "Options of every command")]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read a prompt, learn on it, and write on
    Generate(Box<Generate>),
    /// Converse with a model, line by line
    Chat(Box<Chat>),
    /// Measure how well a model foretells texts, and what its memory gives
    Eval(Eval),
    /// Measure a device, compare results, and report them
    Bench(bench::Bench),
    /// List the devices, and which one `auto` takes
    Devices,
    /// Check every kernel on the device against the CPU's reference
    Verify(Verify),
    /// Describe a model: family, sizes, parameters, memory
    Inspect(Inspect),
    /// Show the tokens of a text
    Tokenize(Tokenize),
    /// Print logits for token ids, to compare with other implementations
    Logits(Logits),
    /// Convert a model to another file, its matrices to another type
    Convert(Convert),
    /// Fetch a model from the Hugging Face hub, or what of it is new
    Pull(ByName),
    /// List the models that were fetched
    List,
    /// Remove a model that was fetched, or a file of it
    Rm(ByName),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Generate {
    #[command(flatten)]
    pub(crate) prompt: Text,

    #[command(flatten)]
    pub(crate) writing: Writing,

    /// Report the N likeliest tokens at each step, with their log-probabilities
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(crate) logprobs: usize,

    /// Save the session to this file when the text ends
    #[arg(long, value_name = "FILE")]
    pub(crate) save_state: Option<PathBuf>,

    /// Go on from a saved session; the prompt may then be left out
    #[arg(long, value_name = "FILE")]
    pub(crate) load_state: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) profiling: Profiling,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Chat {
    /// What the model is told before the conversation
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,

    #[command(flatten)]
    pub(crate) writing: Writing,
}

/// How text is drawn.
#[derive(Debug, ClapArgs)]
pub(crate) struct Writing {
    /// Tokens to write at most
    #[arg(short = 'n', long, default_value_t = 256, value_name = "N")]
    pub(crate) predict: usize,

    /// Temperature; 0 takes the likeliest token [default: 0.8]
    #[arg(long, value_name = "T")]
    pub(crate) temp: Option<f32>,

    /// Keep the K likeliest tokens; 0 keeps all [default: 40]
    #[arg(long, value_name = "K")]
    pub(crate) top_k: Option<u32>,

    /// Keep the smallest set of likeliest tokens with this probability; 1 keeps all [default: 0.95]
    #[arg(long, value_name = "P")]
    pub(crate) top_p: Option<f32>,

    /// Keep tokens at least this likely in relation to the likeliest; 0 keeps all [default: 0.05]
    #[arg(long, value_name = "P")]
    pub(crate) min_p: Option<f32>,

    /// Make recent tokens less likely; 1 is off [default: 1]
    #[arg(long, value_name = "X")]
    pub(crate) repeat_penalty: Option<f32>,

    /// How many tokens are recent, prompt included, at most 256 [default: 64]
    #[arg(long, value_name = "N")]
    pub(crate) repeat_last_n: Option<u32>,

    /// Seed of the random numbers [default: a new one each time]
    #[arg(short, long, value_name = "SEED")]
    pub(crate) seed: Option<u64>,

    /// End the text before this string; may be repeated
    #[arg(long, value_name = "STRING")]
    pub(crate) stop: Vec<String>,

    /// Scale the inner learning rate: 1 learns as trained, 0 not at all [default: 1]
    #[arg(long, value_name = "SCALE")]
    pub(crate) learning: Option<f32>,

    /// Don't learn while reading; the same as --learning 0
    #[arg(long, conflicts_with = "learning")]
    pub(crate) no_learning: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Eval {
    /// The texts; together they are one corpus
    #[arg(short, long = "file", required = true, num_args = 1.., value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Evaluate each text by itself
    #[arg(long, conflicts_with = "memory")]
    pub(crate) each: bool,

    /// Tokens from one window's beginning to the next's [default: what a window holds]
    #[arg(long, value_name = "N", conflicts_with = "memory")]
    pub(crate) stride: Option<usize>,

    /// Score only the last N tokens of each window [default: the stride]
    #[arg(long, value_name = "N", conflicts_with = "memory")]
    pub(crate) scored: Option<usize>,

    /// Stop after N windows of a corpus; with --memory, N passages of a text, spread over it
    #[arg(long, value_name = "N")]
    pub(crate) chunks: Option<usize>,

    /// Scale the inner learning rate; may be repeated to compare [default: 1]
    #[arg(long, value_name = "SCALE")]
    pub(crate) learning: Vec<f32>,

    /// Evaluate this model too; may be repeated
    #[arg(long, value_name = "PATH|NAME")]
    pub(crate) against: Vec<String>,

    /// Measure what it gives to have read the text before a passage, against another text and against nothing
    #[arg(long)]
    pub(crate) memory: bool,

    /// Tokens read before a passage
    #[arg(long, default_value_t = 1024, value_name = "N", requires = "memory")]
    pub(crate) context: usize,

    /// Tokens of a passage
    #[arg(long, default_value_t = 256, value_name = "N", requires = "memory")]
    pub(crate) passage: usize,

    /// Write the loss by position (with --memory: of every passage) to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,

    /// Draw the loss by position into this file
    #[arg(long, value_name = "FILE", conflicts_with = "memory")]
    pub(crate) svg: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) profiling: Profiling,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Text {
    /// The text [default: what stdin holds]
    #[arg(value_name = "TEXT")]
    pub(crate) text: Option<String>,

    /// Take the text from a file; - is stdin
    #[arg(short, long, value_name = "FILE", conflicts_with = "text")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ByName {
    /// The model: hf:org/name, with @revision and :file or :quantisation if need be
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Verify {
    /// Only the small cases, which are for every start
    #[arg(long)]
    pub(crate) quick: bool,

    /// Only this kernel; may be repeated
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(KERNELS.iter().map(|(name, _)| *name)), hide_possible_values = true)]
    pub(crate) kernel: Vec<String>,

    /// As if the device had no f16 and no subgroups
    #[arg(long)]
    pub(crate) without_features: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Inspect {
    /// Print the graph of a decode step, before and after fusion
    #[arg(long)]
    pub(crate) graph: bool,

    /// Print the plans of prefill and decode for the device
    #[arg(long)]
    pub(crate) plan: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Tokenize {
    #[command(flatten)]
    pub(crate) text: Text,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Logits {
    /// Token ids, separated by commas
    #[arg(long, required = true, value_delimiter = ',', value_name = "ID,…")]
    pub(crate) ids: Vec<u32>,

    /// Feed the ids in chunks that end at these places
    #[arg(long, value_delimiter = ',', value_name = "PLACE,…")]
    pub(crate) split: Vec<usize>,

    /// Positions to print [default: all]
    #[arg(long, value_delimiter = ',', value_name = "POSITION,…")]
    pub(crate) positions: Vec<usize>,

    /// Write the logits to this file, as [positions, vocabulary] in f32, little-endian; --json prints which positions and how many tokens
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

fn cache_type(text: &str) -> Result<DType, String> {
    match text {
        "f32" => Ok(DType::F32),
        "f16" => Ok(DType::F16),
        _ => Err("wanted f32 or f16".into()),
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Convert {
    /// The model: a folder or a weight file
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,

    /// The file to write: .gguf, which holds the whole model, or .safetensors, with its config and tokenizer beside it
    #[arg(value_name = "OUT")]
    pub(crate) output: PathBuf,

    /// Type of the matrices: f32, f16, bf16, q8_0, q4_0 or q4_1; the last three in .gguf only
    #[arg(long, default_value = "f16", value_name = "TYPE")]
    pub(crate) outtype: DType,

    /// Replace files that are there
    #[arg(long)]
    pub(crate) force: bool,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=1024).contains(&n) => Ok(n),
        _ => Err("wanted 1 to 1024".into()),
    }
}
