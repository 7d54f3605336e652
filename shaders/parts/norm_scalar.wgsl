// The weight of a norm of any width. What is read past its end meets a zero of x.
@group(0) @binding(2) var<storage, read> norm: array<f32>;

// norm[k .. k + 4].
fn prologue4(k: u32) -> vec4<f32> {
    let last = K - 1u;
    return vec4(norm[min(k, last)], norm[min(k + 1u, last)], norm[min(k + 2u, last)], norm[min(k + 3u, last)]);
}
