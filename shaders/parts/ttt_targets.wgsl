// The operands by which a TTT layer learns, as they come: v and the learning rates.

override V_STRIDE: u32;
override V_OFFSET: u32;
override LR_STRIDE: u32;
override LR_OFFSET: u32;

@group(0) @binding(1) var<storage, read> v: array<f32>;
@group(0) @binding(2) var<storage, read> lr: array<f32>;

fn v_at(head: u32, row: u32, c: u32) -> f32 {
    return v[V_OFFSET + row * V_STRIDE + head * HD + c];
}

fn lr_at(head: u32, row: u32) -> f32 {
    return lr[LR_OFFSET + row * LR_STRIDE + head];
}
