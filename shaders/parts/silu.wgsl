// SiLU, x / (1 + e⁻ˣ). The exponent is clamped: no infinity may arise.
fn silu(x: f32) -> f32 {
    return x / (1.0 + exp(-clamp(x, -80.0, 80.0)));
}
