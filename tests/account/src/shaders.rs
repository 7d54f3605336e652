//! Every shader of the runs, compiled once, and what the compiler made of it.

use anyhow::{Context, Result};
use fastweight::kernels::Launch;

use crate::driver::Driver;
use crate::launches::{Row, Run};
use crate::listing::{Loop, busiest};
use crate::spirv::{Checks, translate};

/// A compiled shader.
#[derive(Debug, Clone, PartialEq)]
pub struct Shader {
    /// The launch's name: the file and its choices.
    pub name: String,
    /// Invocations of a workgroup.
    pub invocations: u32,
    /// Of which so many run in step.
    pub subgroup: u32,
    /// Registers of each invocation, and of each subgroup.
    pub vector_registers: u64,
    pub scalar_registers: u64,
    /// Registers of either kind that found no room.
    pub spilled: u64,
    /// Bytes of each subgroup's memory for what is spilled, and for arrays that are indexed.
    pub scratch: u64,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u64,
    /// Subgroups that a vector unit holds at a time, of [`MOST_WAVES`].
    pub waves: u64,
    /// Bytes of code.
    pub code: u64,
    pub busiest: Option<Loop>,
    /// The same where wgpu checks neither loops nor indices of arrays.
    pub unchecked: Option<Loop>,
}

/// Subgroups of 64 that a vector unit of RDNA 2 holds at most.
pub const MOST_WAVES: u64 = 16;

impl Shader {
    /// The shader's file.
    pub fn file(&self) -> &str {
        self.name.split(['+', ' ']).next().unwrap_or(&self.name)
    }

    /// Whether it takes as much of a compute unit as another; the lengths of the code differ with sizes.
    fn is_like(&self, other: &Shader) -> bool {
        let like = Shader { code: other.code, busiest: other.busiest, unchecked: other.unchecked, ..self.clone() };
        like == *other
    }
}

/// A launch, the places of its operands, and the position of what became of it.
type Made = (Launch, Vec<(u32, u32)>, usize);

/// All of them. Shaders of one name that differ only by sizes and came out alike are one.
#[derive(Default)]
pub struct Shaders {
    pub all: Vec<Shader>,
    /// So many of them are launched by the plans; the others would compute the same.
    pub planned: usize,
    made: Vec<Made>,
}

impl Shaders {
    pub fn compile(driver: &Driver, runs: &[Run]) -> Result<Shaders> {
        let mut shaders = Shaders::default();
        // Those that are launched come first.
        for row in runs.iter().flat_map(|r| &r.rows) {
            shaders.add(driver, &row.launch, &row.places)?;
        }
        shaders.planned = shaders.all.len();
        for row in runs.iter().flat_map(|r| &r.rows) {
            for other in &row.others {
                shaders.add(driver, other, &row.places)?;
            }
        }
        Ok(shaders)
    }

    /// The position of a launch's shader.
    pub fn of(&self, launch: &Launch, places: &[(u32, u32)]) -> Option<usize> {
        let grid_aside = |l: &Launch| Launch { grid: launch.grid.clone(), rounds: launch.rounds, ..l.clone() };
        self.made.iter().find(|(l, p, _)| p == places && grid_aside(l) == *launch).map(|(_, _, i)| *i)
    }

    /// Tells the rows what only the compiler knows.
    pub fn tell(&self, runs: &mut [Run]) {
        for row in runs.iter_mut().flat_map(|r| &mut r.rows) {
            if let Some(i) = self.of(&row.launch, &row.places) {
                row.subgroups = u64::from(self.all[i].invocations.div_ceil(self.all[i].subgroup));
            }
        }
    }

    /// Seconds of a launch in practice, if all of its arithmetic is done as in its busiest loop.
    pub fn seconds(&self, row: &Row) -> f64 {
        let shader = self.of(&row.launch, &row.places).map(|i| &self.all[i]);
        let share = shader.and_then(|s| s.busiest).map_or(1.0, |l| l.share());
        row.times().at(share)
    }

    fn add(&mut self, driver: &Driver, launch: &Launch, places: &[(u32, u32)]) -> Result<()> {
        if self.of(launch, places).is_some() {
            return Ok(());
        }
        let shader = compile(driver, launch, places).with_context(|| launch.name())?;
        let i = self.all.iter().position(|s| s.is_like(&shader)).unwrap_or_else(|| {
            self.all.push(shader);
            self.all.len() - 1
        });
        self.made.push((launch.clone(), places.to_vec(), i));
        Ok(())
    }
}

fn compile(driver: &Driver, launch: &Launch, places: &[(u32, u32)]) -> Result<Shader> {
    let binary = translate(launch, places, Checks::Usual)?;
    let compiled = driver.compile(&binary, places)?;
    let unchecked = driver.compile(&translate(launch, places, Checks::None)?, places)?;
    let figure = |name| compiled.figure(name);
    Ok(Shader {
        name: launch.name(),
        invocations: binary.invocations,
        subgroup: compiled.subgroup,
        vector_registers: figure("VGPRs")?,
        scalar_registers: figure("SGPRs")?,
        spilled: figure("Spilled VGPRs")? + figure("Spilled SGPRs")?,
        scratch: figure("Scratch size")?,
        workgroup_bytes: figure("LDS size")?,
        // The driver counts them in halves of 32 lanes.
        waves: figure("Subgroups per SIMD")? * 32 / u64::from(compiled.subgroup),
        code: figure("Code size")?,
        busiest: busiest(&compiled.listing),
        unchecked: busiest(&unchecked.listing),
    })
}
