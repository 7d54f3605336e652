// y[t, f · CHANNELS + c] = bias[f, c] + Σₖ w[f, c, k] · x[t − TAPS + 1 + k, c], then the activation and the epilogue; rows before
// the run come from the window
//
//   x       [tokens, CHANNELS]               read
//   w       [FILTERS · CHANNELS, TAPS]       read
//   bias    [FILTERS · CHANNELS]             read
//   y       [tokens, FILTERS · CHANNELS]     read_write
//   window  [sequences, TAPS − 1, CHANNELS]  read_write
//
// One workgroup takes 64 channels of one sequence, four rows at a time; it alone reads and writes their window.

override CHANNELS: u32;
override FILTERS: u32;
override X_STRIDE: u32;
override X_OFFSET: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> window: array<f32>;

const PAST = TAPS - 1u;

// x of channel c, `back` rows before row t of the sequence's run.
fn row_back(sequence: u32, t: u32, back: u32, c: u32) -> f32 {
    if t >= back {
        return x[X_OFFSET + (step.sequence[sequence].first_row + t - back) * X_STRIDE + c];
    }
    return window[(sequence * PAST + PAST + t - back) * CHANNELS + c];
}

@compute @workgroup_size(64, 4)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let blocks = (CHANNELS + 63u) / 64u;
    let index = workgroup_index(id, n);
    let sequence = index / blocks;
    if sequence >= step.sequences {
        return;
    }
    let c = (index % blocks) * 64u + local.x;
    let inside = c < CHANNELS;
    let count = step.sequence[sequence].count;
    if inside {
        for (var t = local.y; t < count; t += 4u) {
            let row = (step.sequence[sequence].first_row + t) * FILTERS * CHANNELS;
            for (var f = 0u; f < FILTERS; f++) {
                let filter_channel = f * CHANNELS + c;
                var sum = bias[filter_channel];
                for (var k = 0u; k < TAPS; k++) {
                    sum += w[filter_channel * TAPS + k] * row_back(sequence, t, PAST - k, c);
                }
                store(row + filter_channel, activated(sum));
            }
        }
    }
    // The window moves on when all rows have read it. Oldest first, so no row is overwritten before it is read.
    storageBarrier();
    if inside && local.y == 0u {
        for (var i = 0u; i < PAST; i++) {
            window[(sequence * PAST + i) * CHANNELS + c] = row_back(sequence, count, PAST - i, c);
        }
    }
}
