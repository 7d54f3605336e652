//! What it takes for scans to go in two passes: that this was measured to be faster.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastweight::caps::Caps;
use fastweight::graph::fuse::scans::TwoPasses;
use fastweight::kernels::Io;
use fastweight::tensor::Desc;
use fastweight::tuning::{Size, Timing, Tuning};

use super::made::Made;

/// The device on which the two passes of every scan of a graph were faster than the scan.
pub(super) fn faster_in_two_passes(made: &Made, caps: &Caps) -> Caps {
    let timing = |node: &super::made::Node| {
        let inputs: Vec<&Desc> = node.inputs.iter().map(|v| made.graph.desc(*v)).collect();
        let name = TwoPasses::of(&node.op, &inputs)?.name(caps)?;
        let size = Size::of(&node.op, &Io::whole(&node.op, &inputs).ok()?);
        Some(Timing { size, nanoseconds: BTreeMap::from([(name, 80), ("the scan".to_string(), 100)]) })
    };
    let timings = made.nodes.iter().filter_map(timing).collect();
    Caps { tuning: Arc::new(Tuning { timings, ..Tuning::default() }), ..caps.clone() }
}

#[test]
fn two_passes_are_preferred_where_they_were_faster_than_every_variant_only() {
    let size = |rows| Size { rows, operations: rows * 1000 };
    let timing = |rows, one, two, passes| {
        let nanoseconds = [("one", one), ("two", two), ("passes", passes)].map(|(name, taken)| (name.to_string(), taken));
        Timing { size: size(rows), nanoseconds: BTreeMap::from(nanoseconds) }
    };
    let timings = vec![timing(32, 100, 200, 90), timing(128, 200, 100, 150), timing(512, 100, 100, 99)];
    let tuning = Tuning { timings, ..Tuning::default() };
    assert!(tuning.prefers(size(32), "passes"));
    assert!(tuning.prefers(size(16), "passes"), "the nearest size tells");
    assert!(!tuning.prefers(size(128), "passes"), "slower than the second variant");
    assert!(!tuning.prefers(size(512), "passes"), "no faster than measuring is exact");
    assert!(!tuning.prefers(size(32), "others"), "never timed");
    assert!(!Tuning::default().prefers(size(32), "passes"));
}
