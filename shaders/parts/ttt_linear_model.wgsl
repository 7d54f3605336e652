// The inner model of TTT-Linear: z = k W + b, for m rows from `row` on.
fn inner_model(local: u32, head: u32, fast_start: u32, row: u32, m: u32) {
    for (var e = local; e < m * HD; e += 256u) {
        let c = e % HD;
        var z = fast[fast_start + HD * HD + c];
        for (var i = 0u; i < HD; i++) {
            z += k_at(head, row + e / HD, i) * fast[fast_start + i * HD + c];
        }
        sh_z[e] = z;
    }
}
