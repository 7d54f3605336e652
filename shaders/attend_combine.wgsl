// y[t, h] = Σ_s exp(m_s − m) o_s / Σ_s exp(m_s − m) l_s over the splits s that token t sees, m = max_s m_s
//
//   partial  [tokens, HEADS · SPLITS · (HD + 2)]  read         o, m, l of each head and split
//   y        [tokens, WIDTH]                      read_write
//
// One invocation an element; a workgroup of 256 stays within a row.

override WIDTH: u32;
override ROWS: u32;
override AXIS: u32;
override HD: u32;
override SPLITS: u32;

@group(0) @binding(0) var<storage, read> partial: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let blocks = (WIDTH + 255u) / 256u;
    let index = workgroup_index(id, n);
    let row = index / blocks;
    let column = (index % blocks) * 256u + local;
    if row < live_rows(AXIS, ROWS) && column < WIDTH {
        let sequence = sequence_of(row);
        let position = step.sequence[sequence].position + row - step.sequence[sequence].first_row;
        let first = (row * (WIDTH / HD) + column / HD) * SPLITS * (HD + 2u);
        let end = first + (position / SPLIT + 1u) * (HD + 2u);
        var largest = -3e38;
        for (var at = first; at < end; at += HD + 2u) {
            largest = max(largest, partial[at + HD]);
        }
        var sum = 0.0;
        var total = 0.0;
        for (var at = first; at < end; at += HD + 2u) {
            let factor = exp(max(partial[at + HD] - largest, -80.0));
            sum += factor * partial[at + column % HD];
            total += factor * partial[at + HD + 1u];
        }
        y[row * WIDTH + column] = sum / total;
    }
}
