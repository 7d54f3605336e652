// The operands of a TTT layer as they come: q and k. (ttt_targets: v and the learning rates.)

override QK_STRIDE: u32;
override QK_OFFSET: u32;

@group(0) @binding(0) var<storage, read> qk: array<f32>;

// Nothing has to be made of a row.
fn begin_row(local: u32, head: u32, sequence: u32, t: u32) {
}

fn end_rows(local: u32, head: u32, sequence: u32) {
}

fn q_at(head: u32, row: u32, c: u32) -> f32 {
    return qk[QK_OFFSET + row * QK_STRIDE + head * HD + c];
}

fn k_at(head: u32, row: u32, c: u32) -> f32 {
    return qk[QK_OFFSET + row * QK_STRIDE + (HEADS + head) * HD + c];
}
