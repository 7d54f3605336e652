// Cache format: 32-bit floats.
alias Cached = vec4<f32>;

fn widened(x: Cached) -> vec4<f32> {
    return x;
}

fn narrowed(x: vec4<f32>) -> Cached {
    return x;
}
