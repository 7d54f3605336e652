// The weight of a norm whose width is a multiple of four.
@group(0) @binding(2) var<storage, read> norm: array<vec4<f32>>;

// norm[k .. k + 4], k a multiple of four.
fn prologue4(k: u32) -> vec4<f32> {
    return norm[k / 4u];
}
