// The derivative of GELU, with the published code's rounded constants.
fn gelu_slope(x: f32) -> f32 {
    let t = tanh(clamp(0.79788456 * x * (1.0 + 0.044715 * x * x), -15.0, 15.0));
    return 0.5 * x * (1.0 - t * t) * (0.79788456 + 0.1070322243 * x * x) + 0.5 * (1.0 + t);
}
