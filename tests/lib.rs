//! What the tests that cross crates share: the devices under test, and random numbers with a printed seed.

use std::sync::OnceLock;

use fastweight::caps::Caps;
use fastweight::device::{Choice, Device};

pub mod fixtures;

/// The software GPU. Its absence fails the test, loudly.
pub fn software() -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(fresh_software).clone()
}

/// The same, opened anew: its counters are the test's own.
pub fn fresh_software() -> Device {
    let opened = pollster::block_on(Device::open(&Choice::Software));
    opened.unwrap_or_else(|e| panic!("the tests need a software Vulkan driver (lavapipe; Debian: mesa-vulkan-drivers): {e}"))
}

/// The software GPU as the weakest WebGPU device: default limits, no optional feature.
pub fn weakest() -> Device {
    software().with_caps(|caps| *caps = Caps::default())
}

/// The devices that plans are tried on.
pub fn devices() -> Vec<(&'static str, Device)> {
    vec![("cpu", Device::cpu()), ("software GPU", software()), ("software GPU at default limits", weakest())]
}

/// Random numbers for tests: SplitMix64. A failing test prints its seed; `FASTWEIGHT_SEED` repeats it.
pub struct Random(u64);

impl Random {
    /// A new seed each time, printed, or the one of `FASTWEIGHT_SEED`.
    pub fn new() -> Random {
        let seed = match std::env::var("FASTWEIGHT_SEED") {
            Ok(seed) => seed.parse().expect("FASTWEIGHT_SEED is a number"),
            Err(_) => std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos() as u64,
        };
        println!("FASTWEIGHT_SEED={seed}");
        Random(seed)
    }

    /// The same each time: for what is made, not tested.
    pub fn seeded(seed: u64) -> Random {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An integer in `from ..= to`.
    pub fn within(&mut self, from: usize, to: usize) -> usize {
        from + (self.bits() % (to - from + 1) as u64) as usize
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.within(0, of.len() - 1)]
    }
}

impl Default for Random {
    fn default() -> Random {
        Random::new()
    }
}
