// What TTT-Linear learns, where its inner model is in registers.

fn store_four(local: u32, start: u32, m: u32, four: vec4<f32>, aside: bool) {
    let row = held_row(local, m);
    if row < HD {
        let at = start + row * HD + local % HD;
        put(at, four.x, aside);
        put(at + HD, four.y, aside);
        put(at + 2u * HD, four.z, aside);
        put(at + 3u * HD, four.w, aside);
    }
}

fn store(local: u32, start: u32, m: u32, w: mat4x4<f32>, aside: bool) {
    store_four(local, start, m, w[0], aside);
    store_four(local, start, m + 1u, w[1], aside);
    store_four(local, start, m + 2u, w[2], aside);
    store_four(local, start, m + 3u, w[3], aside);
}

// Puts W and b from `start` on of the fast weights, or of what is kept `aside` of them.
fn store_model(local: u32, start: u32, aside: bool) {
    if local / HD < SHARES {
        store(local, start, 0u, held_0, aside);
        if HELD > 1u {
            store(local, start, 4u, held_1, aside);
        }
        if HELD > 2u {
            store(local, start, 8u, held_2, aside);
        }
        if HELD > 3u {
            store(local, start, 12u, held_3, aside);
        }
    }
    if local < HD {
        put(start + HD * HD + local, held_bias, aside);
    }
    storageBarrier();
}

fn stepped(w: mat4x4<f32>, x: mat4x4<f32>, h: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(fma(x[0], h, w[0]), fma(x[1], h, w[1]), fma(x[2], h, w[2]), fma(x[3], h, w[3]));
}

// W −= factor Σ k_jᵀ h_j and b −= factor Σ h_j over the first m rows of k and of sh_z, which has h.
fn take_rows(local: u32, m: u32, factor: f32) {
    if local / HD < SHARES {
        for (var j = 0u; j < m; j++) {
            let h = -factor * sh_z[j * HD + local % HD];
            let at = (KEYS + j) * STRIDE + local / HD * HELD;
            held_0 = stepped(held_0, sh_rows[at], vec4(h));
            if HELD > 1u {
                held_1 = stepped(held_1, sh_rows[at + 1u], vec4(h));
            }
            if HELD > 2u {
                held_2 = stepped(held_2, sh_rows[at + 2u], vec4(h));
            }
            if HELD > 3u {
                held_3 = stepped(held_3, sh_rows[at + 3u], vec4(h));
            }
            held_bias += h;
        }
    }
}

// The end of a mini-batch, whose last m rows are at hand; `start` open ones came before them. Rows are taken in their order wherever the chunks were
// cut, so that the sums are the same to the last bit.
fn commit(local: u32, m: u32, start: u32, batch: Batch) {
    for (var first = 0u; first < start + m; first += CHUNK) {
        let rows = min(CHUNK, start + m - first);
        if start > 0u {
            storageBarrier();
            workgroupBarrier();
            for (var e = local; e < rows * FOURS; e += 256u) {
                let r = e / FOURS;
                let d = e % FOURS;
                sh_rows[(KEYS + r) * STRIDE + d / 4u][d % 4u] = open_key4(batch, first + r, d);
                set_z4(4u * e, open_step4(batch, first + r, d));
            }
            workgroupBarrier();
        }
        take_rows(local, rows, token_factor(MINI_BATCH - 1u));
    }
}
