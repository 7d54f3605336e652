//! Writes the page that says what a mid-range GPU would do, kernel by kernel. `run` beside it says what it needs.

mod bounds;
mod driver;
mod launches;
mod listing;
mod page;
mod says;
mod shaders;
mod spirv;

use std::{env, fs};

use anyhow::{Context, Result};
use fastweight::bench::{Family, Size};
use fastweight::generate::Purpose;

use driver::Driver;
use launches::Run;
use shaders::Shaders;

fn main() -> Result<()> {
    let path = env::args().nth(1).context("where to write the page is to be said")?;
    let driver = Driver::open().context("no Vulkan driver to compile with; tests/account/run sets one up")?;
    let mut runs = Vec::new();
    for size in ["125m", "1.3b"] {
        let size: Size = size.parse().map_err(anyhow::Error::msg)?;
        for purpose in [Purpose::Decode, Purpose::Prefill] {
            for family in Family::ALL {
                runs.push(Run::new(family, size, purpose)?);
            }
        }
        runs.push(Run::in_two_passes(Family::TttLinear, size, Purpose::Prefill)?);
    }
    let shaders = Shaders::compile(&driver, &runs)?;
    shaders.tell(&mut runs);
    fs::write(&path, page::page(&driver, &runs, &shaders)?).with_context(|| path.clone())
}
