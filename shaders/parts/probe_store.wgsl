// The probe of a TTT layer: each token's inner loss ½‖LN(f(k; W)) − (v − k)‖², with W as of the start of its mini-batch in column `head`
// and as committed at the end in column `HEADS + head`; 0 where this run does not commit it.

@group(0) @binding(7) var<storage, read_write> probe: array<f32>;

fn probing() -> bool {
    return true;
}

// ½‖LN(z) − (v − k)‖² of this invocation's row of z, one of m.
fn inner_loss(local: u32, head: u32, row: u32, m: u32) -> f32 {
    workgroupBarrier();
    let statistics = row_statistics(local);
    let r = local / 16u;
    var sum = 0.0;
    if r < m {
        for (var c = local % 16u; c < HD; c += 16u) {
            let normed = (sh_z[r * HD + c] - statistics.x) * statistics.y;
            let wanted = v_at(head, row + r, c) - k_at(head, row + r, c);
            let error = params[head * HD + c] * normed + params[(HEADS + head) * HD + c] - wanted;
            sum += error * error;
        }
    }
    return 0.5 * row_sum(local, sum);
}

// For the first m rows of z = f(k; W), before the gradient takes their place; whether this run commits their mini-batch.
fn probe_before(local: u32, head: u32, row: u32, m: u32, commits: bool) {
    let loss = inner_loss(local, head, row, m);
    if local % 16u == 0u && local / 16u < m {
        let at = (row + local / 16u) * 2u * HEADS + head;
        probe[at] = select(0.0, loss, commits);
        probe[at + HEADS] = 0.0;
    }
}

// For the `count` rows before row `end`, those of the committed mini-batch that this run has.
fn probe_after(local: u32, head: u32, fast_start: u32, end: u32, count: u32) {
    for (var done = 0u; done < count; done += CHUNK) {
        let row = end - count + done;
        let m = min(CHUNK, count - done);
        inner_model(local, head, fast_start, row, m);
        let loss = inner_loss(local, head, row, m);
        if local % 16u == 0u && local / 16u < m {
            probe[(row + local / 16u) * 2u * HEADS + HEADS + head] = loss;
        }
    }
}
