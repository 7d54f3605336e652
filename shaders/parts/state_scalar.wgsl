// Fast weights and open rows element by element, as kernels have them in which an invocation takes a column.

@group(0) @binding(5) var<storage, read_write> fast: array<f32>;
@group(0) @binding(6) var<storage, read_write> open: array<f32>;

// Four elements from one on that is a multiple of four.
fn fast4(at: u32) -> vec4<f32> {
    return vec4(fast[at], fast[at + 1u], fast[at + 2u], fast[at + 3u]);
}

fn set_fast4(at: u32, x: vec4<f32>) {
    fast[at] = x.x;
    fast[at + 1u] = x.y;
    fast[at + 2u] = x.z;
    fast[at + 3u] = x.w;
}

fn open4(at: u32) -> vec4<f32> {
    return vec4(open[at], open[at + 1u], open[at + 2u], open[at + 3u]);
}
