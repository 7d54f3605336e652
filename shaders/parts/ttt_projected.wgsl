// The operands of a TTT layer made of one projection of the input, row by row: q and k through their filters and turned by the position in
// the mini-batch, and the learning rate through its gate, SCALE · learning · sigmoid(z + bias).

override P_STRIDE: u32;
override P_OFFSET: u32;
override V_COLUMN: u32;
override LR_COLUMN: u32;
override DISTANCE: u32;
override SCALE: f32;

@group(0) @binding(0) var<storage, read> p: array<f32>;
@group(0) @binding(2) var<storage, read> table: array<f32>;

// q and then k of the row at hand.
var<workgroup> sh_qk: array<f32, 2u * HD>;
var<workgroup> sh_lr: f32;

// Where the biases of the learning rates lie among the small vectors: behind γ, β and idx.
fn lr_biases() -> u32 {
    return 2u * HEADS * HD + MINI_BATCH;
}

fn projected(row: u32, column: u32) -> f32 {
    return p[P_OFFSET + row * P_STRIDE + column];
}

// Makes row t of the sequence's run.
fn begin_row(local: u32, head: u32, sequence: u32, t: u32) {
    let row = step.sequence[sequence].first_row + t;
    if local < 2u * HD {
        let c = local % HD;
        // Within the head: blocks of DISTANCE first elements of pairs, and as many second ones.
        let block = c / DISTANCE;
        let second = block % 2u == 1u;
        let pair = (block / 2u) * DISTANCE + c % DISTANCE;
        let at = ((step.sequence[sequence].position + t) % MINI_BATCH) * HD + 2u * pair;
        let first = c - select(0u, DISTANCE, second);
        let a = filtered(sequence, t, local / HD, head * HD + first);
        let b = filtered(sequence, t, local / HD, head * HD + first + DISTANCE);
        let turned = vec2(table[at], table[at + 1u]);
        sh_qk[local] = select(a * turned.x - b * turned.y, b * turned.x + a * turned.y, second);
    }
    if local == 0u {
        let logit = projected(row, LR_COLUMN + head) + params[lr_biases() + head];
        sh_lr = SCALE * step.sequence[sequence].learning / (1.0 + exp(-clamp(logit, -80.0, 80.0)));
    }
    workgroupBarrier();
}

fn q_at(head: u32, row: u32, c: u32) -> f32 {
    return sh_qk[c];
}

fn k_at(head: u32, row: u32, c: u32) -> f32 {
    return sh_qk[HD + c];
}

fn v_at(head: u32, row: u32, c: u32) -> f32 {
    return projected(row, V_COLUMN + head * HD + c);
}

fn lr_at(head: u32, row: u32) -> f32 {
    return sh_lr;
}
