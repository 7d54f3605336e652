// Fast weights and open rows four elements at a time, as kernels have them in which an invocation takes a block.

@group(0) @binding(5) var<storage, read_write> fast: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> open: array<vec4<f32>>;

// Four elements from one on that is a multiple of four.
fn fast4(at: u32) -> vec4<f32> {
    return fast[at / 4u];
}

fn set_fast4(at: u32, x: vec4<f32>) {
    fast[at / 4u] = x;
}

fn open4(at: u32) -> vec4<f32> {
    return open[at / 4u];
}

fn set_open4(at: u32, x: vec4<f32>) {
    open[at / 4u] = x;
}
