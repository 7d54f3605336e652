// What a row of a TTT layer learns: the gradient of the inner loss, through the inner norm.

// Replaces each of the first m rows of z by lr · ∇_z ½‖LN(z) − (v − k)‖².
fn inner_gradient(local: u32, head: u32, row: u32, m: u32) {
    workgroupBarrier();
    let statistics = row_statistics(local);
    let r = local / 16u;
    let inside = r < m;
    // Of u and of u · ẑ.
    var sums = vec2(0.0);
    if inside {
        for (var c = local % 16u; c < HD; c += 16u) {
            let normed = (sh_z[r * HD + c] - statistics.x) * statistics.y;
            let gamma = params[head * HD + c];
            let wanted = v_at(head, row + r, c) - k_at(head, row + r, c);
            let u = (gamma * normed + params[(HEADS + head) * HD + c] - wanted) * gamma;
            sums += vec2(u, u * normed);
        }
    }
    let means = row_sums(local, sums) / f32(HD);
    if inside {
        let rate = lr_at(head, row + r) * statistics.y;
        for (var c = local % 16u; c < HD; c += 16u) {
            let normed = (sh_z[r * HD + c] - statistics.x) * statistics.y;
            let gamma = params[head * HD + c];
            let wanted = v_at(head, row + r, c) - k_at(head, row + r, c);
            let u = (gamma * normed + params[(HEADS + head) * HD + c] - wanted) * gamma;
            sh_z[r * HD + c] = rate * (u - means.x - normed * means.y);
        }
    }
    workgroupBarrier();
}
