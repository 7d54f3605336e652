// GELU in its tanh form. The argument of tanh is clamped: it overflows on some drivers, and is ±1 in f32 long before.
fn gelu(x: f32) -> f32 {
    let inner = 0.7978845608 * (x + 0.044715 * x * x * x);
    return 0.5 * x * (1.0 + tanh(clamp(inner, -15.0, 15.0)));
}

fn gelu4(x: vec4<f32>) -> vec4<f32> {
    return vec4(gelu(x.x), gelu(x.y), gelu(x.z), gelu(x.w));
}
