// y[t, c] = x[t, c] + bias[c] + Σₖ w[c, k] · n[t − TAPS + 1 + k, c] with n = norm ∘ x / sqrt(mean(x²) + EPS); rows of n before the run
// come from the window
//
//   x       [tokens, CHANNELS]               read
//   norm    [CHANNELS]                       read
//   w       [CHANNELS, TAPS]                 read
//   bias    [CHANNELS]                       read
//   y       [tokens, CHANNELS]               read_write
//   window  [sequences, TAPS − 1, CHANNELS]  read_write
//
// For few tokens a sequence. One workgroup takes 256 channels of one sequence, row by row, with the rows that the filters see in registers;
// each has the whole row for its norm.

override CHANNELS: u32;
override X_STRIDE: u32;
override X_OFFSET: u32;
override EPS: f32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> norm: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> window: array<f32>;

const PAST = TAPS - 1u;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let blocks = (CHANNELS + 255u) / 256u;
    let index = workgroup_index(id, n);
    let sequence = index / blocks;
    if sequence >= step.sequences || step.sequence[sequence].count == 0u {
        return;
    }
    // A channel past the end does again what the last one does, and keeps nothing.
    let channel = (index % blocks) * 256u + local;
    let inside = channel < CHANNELS;
    let c = min(channel, CHANNELS - 1u);
    let first_row = step.sequence[sequence].first_row;
    let count = step.sequence[sequence].count;
    // Oldest first.
    var past = array<f32, PAST>();
    for (var i = 0u; i < PAST; i++) {
        past[i] = window[(sequence * PAST + i) * CHANNELS + c];
    }
    for (var t = 0u; t < count; t++) {
        let row = X_OFFSET + (first_row + t) * X_STRIDE;
        var squares = 0.0;
        for (var i = local; i < CHANNELS; i += 256u) {
            squares += x[row + i] * x[row + i];
        }
        let scale = inverseSqrt(workgroup_sum(local, squares) / f32(CHANNELS) + EPS);
        let normed = x[row + c] * scale * norm[c];
        var sum = bias[c];
        for (var i = 0u; i < PAST; i++) {
            sum += w[c * TAPS + i] * past[i];
        }
        sum += w[c * TAPS + PAST] * normed;
        for (var i = 0u; i + 1u < PAST; i++) {
            past[i] = past[i + 1u];
        }
        past[PAST - 1u] = normed;
        if inside {
            y[(first_row + t) * CHANNELS + c] = x[row + c] + sum;
        }
    }
    if inside {
        for (var i = 0u; i < PAST; i++) {
            window[(sequence * PAST + i) * CHANNELS + c] = past[i];
        }
    }
}
