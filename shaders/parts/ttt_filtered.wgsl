// q and k are two causal convolutions of one value, column QK_COLUMN of the projection on. Their weights and then their biases lie behind
// the biases of the learning rates. A workgroup has the window of its head to itself.

override QK_COLUMN: u32;

@group(0) @binding(6) var<storage, read_write> window: array<f32>;

const PAST = TAPS - 1u;

// The value of a channel, `back` rows before row t of the sequence's run.
fn row_back(sequence: u32, t: u32, back: u32, channel: u32) -> f32 {
    if t >= back {
        return projected(step.sequence[sequence].first_row + t - back, QK_COLUMN + channel);
    }
    return window[(sequence * PAST + PAST + t - back) * HEADS * HD + channel];
}

// Channel `channel` of q (`which` 0) or k (1) in row t of the sequence's run.
fn filtered(sequence: u32, t: u32, which: u32, channel: u32) -> f32 {
    let weights = lr_biases() + HEADS;
    let at = which * HEADS * HD + channel;
    var sum = params[weights + 2u * HEADS * HD * TAPS + at];
    for (var i = 0u; i < TAPS; i++) {
        sum += params[weights + at * TAPS + i] * row_back(sequence, t, PAST - i, channel);
    }
    return sum;
}

// The window moves on when all rows are done. Oldest first, so no row is overwritten before it is read.
fn end_rows(local: u32, head: u32, sequence: u32) {
    if local < HD {
        let channel = head * HD + local;
        for (var i = 0u; i < PAST; i++) {
            window[(sequence * PAST + i) * HEADS * HD + channel] = row_back(sequence, step.sequence[sequence].count, PAST - i, channel);
        }
    }
}
