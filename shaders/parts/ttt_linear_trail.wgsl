// Rows of a mini-batch of TTT-Linear whose state pass and output pass are two kernels, and where the first leaves W and b for the second: in
// slots, one a mini-batch of the run and head. A sequence of n tokens has at most n / MINI_BATCH + 2 mini-batches.

// A mini-batch: its `begun` rows before the run are open ones, the others are rows of the run from `row` on.
struct Batch {
    head: u32,
    open_start: u32,
    begun: u32,
    row: u32,
}

// Mini-batch `which` of the sequence's run.
fn batch_at(sequence: u32, head: u32, which: u32) -> Batch {
    let begun = step.sequence[sequence].position % MINI_BATCH;
    let first_row = step.sequence[sequence].first_row;
    let open_start = (sequence * HEADS + head) * MINI_BATCH * 2u * HD;
    if which == 0u {
        return Batch(head, open_start, begun, first_row);
    }
    return Batch(head, open_start, 0u, first_row + which * MINI_BATCH - begun);
}

// Mini-batches of the sequence's run.
fn batches_of(sequence: u32) -> u32 {
    let count = step.sequence[sequence].count;
    return select(0u, (step.sequence[sequence].position % MINI_BATCH + count + MINI_BATCH - 1u) / MINI_BATCH, count > 0u);
}

// The slot of the first of them.
fn slot_of(sequence: u32) -> u32 {
    return step.sequence[sequence].first_row / MINI_BATCH + 2u * sequence;
}

fn model_start(slot: u32, head: u32) -> u32 {
    return (slot * HEADS + head) * (HD + 1u) * HD;
}

// Channel c of h of a row of the run.
fn step_at(row: u32, head: u32, c: u32) -> u32 {
    return (row * HEADS + head) * HD + c;
}

fn open_key4(batch: Batch, j: u32, d: u32) -> vec4<f32> {
    let c = 4u * d;
    if j < batch.begun {
        let at = batch.open_start + j * 2u * HD + c;
        return vec4(open[at], open[at + 1u], open[at + 2u], open[at + 3u]);
    }
    let row = batch.row + j - batch.begun;
    return vec4(k_at(batch.head, row, c), k_at(batch.head, row, c + 1u), k_at(batch.head, row, c + 2u), k_at(batch.head, row, c + 3u));
}

fn open_step(batch: Batch, j: u32, c: u32) -> f32 {
    if j < batch.begun {
        return open[batch.open_start + (j * 2u + 1u) * HD + c];
    }
    return steps[step_at(batch.row + j - batch.begun, batch.head, c)];
}

fn open_step4(batch: Batch, j: u32, d: u32) -> vec4<f32> {
    let c = 4u * d;
    return vec4(open_step(batch, j, c), open_step(batch, j, c + 1u), open_step(batch, j, c + 2u), open_step(batch, j, c + 3u));
}
