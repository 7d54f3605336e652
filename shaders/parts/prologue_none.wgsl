// Prologue: the row as it is.
fn prologue_begin(local: u32, row: u32) {
}

fn source4(row: u32, k: u32) -> vec4<f32> {
    return row4(row, k);
}

fn prologue4(k: u32) -> vec4<f32> {
    return vec4(1.0);
}

fn prologue_share(at: u32, squares: f32) {
}

fn prologue_scale(first: u32) -> f32 {
    return 1.0;
}
