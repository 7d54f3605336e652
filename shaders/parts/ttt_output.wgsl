// What a row of a TTT layer yields.

@group(0) @binding(4) var<storage, read_write> out: array<f32>;

// Writes q + LN(z) for each of the first m rows of z.
fn inner_output(local: u32, head: u32, row: u32, m: u32) {
    workgroupBarrier();
    let statistics = row_statistics(local);
    let r = local / 16u;
    if r < m {
        for (var c = local % 16u; c < HD; c += 16u) {
            let normed = (sh_z[r * HD + c] - statistics.x) * statistics.y;
            let y = params[head * HD + c] * normed + params[(HEADS + head) * HD + c];
            out[(row + r) * HEADS * HD + head * HD + c] = q_at(head, row + r, c) + y;
        }
    }
    workgroupBarrier();
}
