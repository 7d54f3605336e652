// The inner model of TTT-MLP: z = gelu(k W1 + b1) W2 + b2, for m rows from `row` on, with the hidden rows in sh_wide.
fn inner_model(local: u32, head: u32, fast_start: u32, row: u32, m: u32) {
    for (var e = local; e < m * HD; e += 256u) {
        let r = e / HD;
        let column = e % HD * 4u;
        var z1 = fast4(fast_start + B1 + column);
        for (var i = 0u; i < HD; i++) {
            z1 += k_at(head, row + r, i) * fast4(fast_start + i * WIDE + column);
        }
        set_hidden4(r, column, gelu4(z1));
    }
    workgroupBarrier();
    for (var e = local; e < m * FOURS; e += 256u) {
        let r = e / FOURS;
        let column = e % FOURS * 4u;
        var z2 = fast4(fast_start + B2 + column);
        for (var i = 0u; i < WIDE; i += 4u) {
            let w = fast_start + W2 + i * HD + column;
            let rows = mat4x4(fast4(w), fast4(w + HD), fast4(w + 2u * HD), fast4(w + 3u * HD));
            z2 += rows * hidden4(r, i);
        }
        set_z4(4u * e, z2);
    }
}
