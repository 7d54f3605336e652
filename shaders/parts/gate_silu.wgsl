// The gate behind the result: the value times silu(gate).
@group(0) @binding(4) var<storage, read> gate: array<f32>;

override GATE_STRIDE: u32;
override GATE_OFFSET: u32;

fn gated(row: u32, column: u32, value: f32) -> f32 {
    return value * silu(gate[GATE_OFFSET + row * GATE_STRIDE + column]);
}
