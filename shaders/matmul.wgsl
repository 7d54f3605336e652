// y[t, n] = Σₖ x[t, k] · w[n, k], then the epilogue; this dispatch has rows first .. first + count of w
//
//   x  [rows, K]  read
//   w  [N, K]     read
//   y  [rows, N]  read_write
//
// A workgroup of 8 × 8 computes 32 · ROW_BLOCKS rows by 64 columns, over tiles of 16 along k in workgroup memory. Each invocation has
// ROW_BLOCKS × 2 blocks of 4 rows by 4 columns in registers: matrices by name, since not every compiler keeps an array there.

override K: u32;
override N: u32;
override ROWS: u32;
override AXIS: u32;
override X_STRIDE: u32;
override X_OFFSET: u32;

@group(0) @binding(0) var<storage, read> x: array<Activation>;
@group(0) @binding(1) var<storage, read> w: array<Weight>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

const DEPTH = 4u; // groups of four along k
const ROWS_TILE = 32u * ROW_BLOCKS;
const COLUMNS_TILE = 64u;

var<workgroup> sh_x: array<vec4<f32>, DEPTH * ROWS_TILE>;
var<workgroup> sh_w: array<Tile, DEPTH * COLUMNS_TILE>;

// Four rows of the tile, from `at` on with 8 between them, as the rows of a matrix.
fn rows_at(at: u32) -> mat4x4<f32> {
    return transpose(mat4x4(sh_x[at], sh_x[at + 8u], sh_x[at + 16u], sh_x[at + 24u]));
}

// Four columns of y, which are rows of w, likewise, as columns.
fn columns_at(at: u32) -> mat4x4<f32> {
    return mat4x4(untiled(sh_w[at]), untiled(sh_w[at + 8u]), untiled(sh_w[at + 16u]), untiled(sh_w[at + 24u]));
}

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let column_tiles = (part.count + COLUMNS_TILE - 1u) / COLUMNS_TILE;
    let index = workgroup_index(id, n);
    let row_start = (index / column_tiles) * ROWS_TILE;
    let column_start = (index % column_tiles) * COLUMNS_TILE;
    let rows = live_rows(AXIS, ROWS);
    if row_start >= rows {
        return;
    }
    let lane = local.y * 8u + local.x;
    // The blocks of the first four rows and of the next, the first four columns and the next.
    var sums00 = mat4x4<f32>();
    var sums01 = mat4x4<f32>();
    var sums10 = mat4x4<f32>();
    var sums11 = mat4x4<f32>();
    for (var k = 0u; k < K; k += 4u * DEPTH) {
        for (var i = lane; i < DEPTH * ROWS_TILE; i += 64u) {
            let row = row_start + i / DEPTH;
            let at = k + (i % DEPTH) * 4u;
            var value = vec4(0.0);
            if row < rows && at < K {
                value = row4(row, at);
            }
            sh_x[(i % DEPTH) * ROWS_TILE + i / DEPTH] = value;
        }
        for (var i = lane; i < DEPTH * COLUMNS_TILE; i += 64u) {
            let column = column_start + i / DEPTH;
            let at = k + (i % DEPTH) * 4u;
            var value = vec4(0.0);
            if column < part.count && at < K {
                value = weight4(column, at);
            }
            sh_w[(i % DEPTH) * COLUMNS_TILE + i / DEPTH] = tiled(value);
        }
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d++) {
            let left = columns_at(d * COLUMNS_TILE + local.x);
            let right = columns_at(d * COLUMNS_TILE + 32u + local.x);
            let upper = rows_at(d * ROWS_TILE + local.y);
            sums00 = block_product(sums00, upper, left);
            sums01 = block_product(sums01, upper, right);
            if ROW_BLOCKS > 1u {
                let lower = rows_at(d * ROWS_TILE + 32u + local.y);
                sums10 = block_product(sums10, lower, left);
                sums11 = block_product(sums11, lower, right);
            }
        }
        workgroupBarrier();
    }
    var blocks = array(sums00, sums01, sums10, sums11);
    for (var b = 0u; b < 2u * ROW_BLOCKS; b++) {
        for (var i = 0u; i < 16u; i++) {
            let row = row_start + local.y + (b / 2u) * 32u + (i % 4u) * 8u;
            let column = column_start + local.x + (b % 2u) * 32u + (i / 4u) * 8u;
            if row < rows && column < part.count {
                store(row * N + part.first + column, blocks[b][i / 4u][i % 4u]);
            }
        }
    }
}
