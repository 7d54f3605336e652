// No probe of a TTT layer.
fn probing() -> bool {
    return false;
}

fn probe_before(local: u32, head: u32, row: u32, m: u32, commits: bool) {}

fn probe_after(local: u32, head: u32, fast_start: u32, end: u32, count: u32) {}
