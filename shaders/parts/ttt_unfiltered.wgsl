// All q and then all k are columns of the projection, QK_COLUMN on.

override QK_COLUMN: u32;

// Channel `channel` of q (`which` 0) or k (1) in row t of the sequence's run.
fn filtered(sequence: u32, t: u32, which: u32, channel: u32) -> f32 {
    return projected(step.sequence[sequence].first_row + t, QK_COLUMN + which * HEADS * HD + channel);
}

fn end_rows(local: u32, head: u32, sequence: u32) {
}
