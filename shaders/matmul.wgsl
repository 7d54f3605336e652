// y[t, n] = Σₖ x[t, k] · w[n, k], then the epilogue; this dispatch has rows first .. first + count of w
//
//   x  [rows, K]  read
//   w  [N, K]     read
//   y  [rows, N]  read_write
//
// A workgroup of 16 × 16 computes 16 · TILE_ROWS rows by 16 · TILE_COLUMNS columns, TILE_ROWS × TILE_COLUMNS in the registers of
// each invocation, over tiles of 16 along k in workgroup memory.

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
const ROWS_TILE = 16u * TILE_ROWS;
const COLUMNS_TILE = 16u * TILE_COLUMNS;

var<workgroup> sh_x: array<vec4<f32>, DEPTH * ROWS_TILE>;
var<workgroup> sh_w: array<vec4<f32>, DEPTH * COLUMNS_TILE>;

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let column_tiles = (part.count + COLUMNS_TILE - 1u) / COLUMNS_TILE;
    let index = workgroup_index(id, n);
    let row_start = (index / column_tiles) * ROWS_TILE;
    let column_start = (index % column_tiles) * COLUMNS_TILE;
    let rows = live_rows(AXIS, ROWS);
    if row_start >= rows {
        return;
    }
    let lane = local.y * 16u + local.x;
    var sums = array<array<f32, TILE_COLUMNS>, TILE_ROWS>();
    for (var k = 0u; k < K; k += 4u * DEPTH) {
        for (var i = lane; i < DEPTH * ROWS_TILE; i += 256u) {
            let row = row_start + i / DEPTH;
            let at = k + (i % DEPTH) * 4u;
            var value = vec4(0.0);
            if row < rows && at < K {
                value = row4(row, at);
            }
            sh_x[(i % DEPTH) * ROWS_TILE + i / DEPTH] = value;
        }
        for (var i = lane; i < DEPTH * COLUMNS_TILE; i += 256u) {
            let column = column_start + i / DEPTH;
            let at = k + (i % DEPTH) * 4u;
            var value = vec4(0.0);
            if column < part.count && at < K {
                value = weight4(column, at);
            }
            sh_w[(i % DEPTH) * COLUMNS_TILE + i / DEPTH] = value;
        }
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d++) {
            var columns = array<vec4<f32>, TILE_COLUMNS>();
            for (var c = 0u; c < TILE_COLUMNS; c++) {
                columns[c] = sh_w[d * COLUMNS_TILE + c * 16u + local.x];
            }
            for (var r = 0u; r < TILE_ROWS; r++) {
                let value = sh_x[d * ROWS_TILE + r * 16u + local.y];
                for (var c = 0u; c < TILE_COLUMNS; c++) {
                    sums[r][c] += dot(value, columns[c]);
                }
            }
        }
        workgroupBarrier();
    }
    for (var r = 0u; r < TILE_ROWS; r++) {
        let row = row_start + r * 16u + local.y;
        for (var c = 0u; c < TILE_COLUMNS; c++) {
            let column = column_start + c * 16u + local.x;
            if row < rows && column < part.count {
                store(row * N + part.first + column, sums[r][c]);
            }
        }
    }
}
