// y[t, n] = Σₖ x[t, k] · w[n, k], then the epilogue; this dispatch has rows first .. first + count of w
//
//   x  [rows, K]  read
//   w  [N, K]     read
//   y  [rows, N]  read_write
//
// A workgroup of 64 is 16 quads, QUADS_DOWN below each other, and each quad computes 16 rows by 16 columns without workgroup memory. An
// invocation reads every fourth of the quad's rows and every fourth of its columns. It multiplies its rows with its own columns and with those
// that it is handed by the other three: four blocks of 4 by 4 in registers, for half the reads of a block of 8 by 8.

override K: u32;
override N: u32;
override ROWS: u32;
override AXIS: u32;
override X_STRIDE: u32;
override X_OFFSET: u32;

@group(0) @binding(0) var<storage, read> x: array<Activation>;
@group(0) @binding(1) var<storage, read> w: array<Weight>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

const QUADS_ACROSS = 16u / QUADS_DOWN;

fn across(own: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4(quadSwapX(own[0]), quadSwapX(own[1]), quadSwapX(own[2]), quadSwapX(own[3]));
}

fn below(own: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4(quadSwapY(own[0]), quadSwapY(own[1]), quadSwapY(own[2]), quadSwapY(own[3]));
}

fn opposite(own: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4(quadSwapDiagonal(own[0]), quadSwapDiagonal(own[1]), quadSwapDiagonal(own[2]), quadSwapDiagonal(own[3]));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column_tiles = (part.count + 16u * QUADS_ACROSS - 1u) / (16u * QUADS_ACROSS);
    let index = workgroup_index(id, n);
    let rows = live_rows(AXIS, ROWS);
    if (index / column_tiles) * 16u * QUADS_DOWN >= rows {
        return;
    }
    let quad = lane / 4u;
    let place = lane % 4u;
    let row_start = (index / column_tiles * QUADS_DOWN + quad / QUADS_ACROSS) * 16u;
    let column_start = (index % column_tiles * QUADS_ACROSS + quad % QUADS_ACROSS) * 16u;
    // Rows and columns beyond the last are the last again, and are not stored: no lane of a quad may stay out of it.
    let row = min(row_start + place + vec4(0u, 4u, 8u, 12u), vec4(rows - 1u));
    let column = min(column_start + place + vec4(0u, 4u, 8u, 12u), vec4(part.count - 1u));
    var sums0 = mat4x4<f32>();
    var sums1 = mat4x4<f32>();
    var sums2 = mat4x4<f32>();
    var sums3 = mat4x4<f32>();
    for (var k = 0u; k < K; k += 4u) {
        let upper = transpose(mat4x4(row4(row.x, k), row4(row.y, k), row4(row.z, k), row4(row.w, k)));
        let left = mat4x4(weight4(column.x, k), weight4(column.y, k), weight4(column.z, k), weight4(column.w, k));
        sums0 = block_product(sums0, upper, left);
        sums1 = block_product(sums1, upper, across(left));
        sums2 = block_product(sums2, upper, below(left));
        sums3 = block_product(sums3, upper, opposite(left));
    }
    // Block b is of the columns of the lane at place ^ b.
    var blocks = array(sums0, sums1, sums2, sums3);
    for (var b = 0u; b < 4u; b++) {
        for (var i = 0u; i < 16u; i++) {
            let row = row_start + place + (i % 4u) * 4u;
            let column = column_start + (place ^ b) + (i / 4u) * 4u;
            if row < rows && column < part.count {
                store(row * N + part.first + column, blocks[b][i / 4u][i % 4u]);
            }
        }
    }
}
