// The derivative of GELU, with the published code's rounded constants.
fn gelu_slope(x: f32) -> f32 {
    let t = tanh(clamp(0.79788456 * x * (1.0 + 0.044715 * x * x), -15.0, 15.0));
    return 0.5 * x * (1.0 - t * t) * (0.79788456 + 0.1070322243 * x * x) + 0.5 * (1.0 + t);
}

fn gelu_slope4(x: vec4<f32>) -> vec4<f32> {
    return vec4(gelu_slope(x.x), gelu_slope(x.y), gelu_slope(x.z), gelu_slope(x.w));
}
