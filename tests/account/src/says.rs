//! What the figures say, in plain words.

use anyhow::Result;

use crate::launches::Run;
use crate::shaders::Shaders;

pub fn says(_runs: &[Run], _shaders: &Shaders) -> Result<Vec<String>> {
    Ok(Vec::new())
}
