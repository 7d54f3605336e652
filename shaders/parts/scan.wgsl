// What the state-space scans share: the operands, and what one head and channel reads of them.

override HEADS: u32;
override HEAD_DIM: u32;
override GROUPS: u32;
override STATE: u32;
override RATES: u32;
override STEP_MIN: f32;
override STEP_MAX: f32;
override X_STRIDE: u32;
override X_OFFSET: u32;
override DT_STRIDE: u32;
override DT_OFFSET: u32;
override BC_STRIDE: u32;
override BC_OFFSET: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dt: array<f32>;
@group(0) @binding(2) var<storage, read> bc: array<f32>;
@group(0) @binding(3) var<storage, read> params: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<storage, read_write> state: array<f32>;

// e to the power of a decay's logarithm, which is never positive.
fn decay(log: f32) -> f32 {
    return exp(max(log, -80.0));
}

// log(1 + e^v) = max(v, 0) + log(1 + u), u = e^-|v|. The second logarithm as 2 artanh(u / (2 + u)), a series that keeps the
// digits of a small u; nothing overflows.
fn softplus(v: f32) -> f32 {
    let u = exp(max(-abs(v), -80.0));
    let r = u / (2.0 + u);
    let q = r * r;
    let series = 1.0 + q * (1.0 / 3.0 + q * (0.2 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 + q * (1.0 / 13.0 + q / 15.0))))));
    return max(v, 0.0) + 2.0 * r * series;
}

fn x_at(row: u32, column: u32) -> f32 {
    return x[X_OFFSET + row * X_STRIDE + column];
}

// Δ of a head: softplus(dt + bias), held to its limits.
fn step_at(row: u32, head: u32) -> f32 {
    let raw = dt[DT_OFFSET + row * DT_STRIDE + head] + params[HEADS * RATES + head];
    return clamp(softplus(raw), STEP_MIN, STEP_MAX);
}

// A of a head and element of the state; heads with one rate have it for all of them.
fn a_at(head: u32, n: u32) -> f32 {
    return -exp(min(params[head * RATES + min(n, RATES - 1u)], 80.0));
}

// D of a head.
fn skip_at(head: u32) -> f32 {
    return params[HEADS * (RATES + 1u) + head];
}

fn b_at(row: u32, head: u32, n: u32) -> f32 {
    return bc[BC_OFFSET + row * BC_STRIDE + head / (HEADS / GROUPS) * STATE + n];
}

fn c_at(row: u32, head: u32, n: u32) -> f32 {
    return b_at(row, head, GROUPS * STATE + n);
}
