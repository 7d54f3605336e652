// The inner model of TTT-MLP: z = gelu(k W1 + b1) W2 + b2, for m rows from `row` on, with the hidden rows in sh_wide.
fn inner_model(local: u32, head: u32, fast_start: u32, row: u32, m: u32) {
    for (var e = local; e < m * WIDE; e += 256u) {
        let column = e % WIDE;
        var z1 = fast[fast_start + B1 + column];
        for (var i = 0u; i < HD; i++) {
            z1 += k_at(head, row + e / WIDE, i) * fast[fast_start + i * WIDE + column];
        }
        sh_wide[e] = gelu(z1);
    }
    workgroupBarrier();
    for (var e = local; e < m * HD; e += 256u) {
        let c = e % HD;
        var z2 = fast[fast_start + B2 + c];
        for (var i = 0u; i < WIDE; i++) {
            z2 += sh_wide[(e / HD) * WIDE + i] * fast[fast_start + W2 + i * HD + c];
        }
        sh_z[e] = z2;
    }
}
