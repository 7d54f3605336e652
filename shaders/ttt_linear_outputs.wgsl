// The output pass of TTT-Linear in the dual form, what ttt_linear.wgsl computes besides its states: with W, b as of the start of the mini-batch and
// its rows (k_j, h_j), which ttt_linear_states.wgsl leaves,
//   out = q + LN(q W + b − tok_i Σ_{j ≤ i} (1 + q·k_j) h_j)
//
//   qk      [tokens, 2 · HEADS · HD]                 read         all q, then all k
//   models  [slots · HEADS, (HD + 1) · HD]           read         W, b as of the start of each mini-batch
//   steps   [tokens, HEADS · HD]                     read         h of each row
//   params  [2 · HEADS · HD + MINI_BATCH]            read         γ, β, idx
//   out     [tokens, HEADS · HD]                     read_write
//   open    [sequences · HEADS, MINI_BATCH · 2 · HD] read_write   rows k, h
//
// One workgroup of 256 a head and slot, which walks its mini-batch in chunks of up to CHUNK rows with W and b in registers. That of a run's first
// mini-batch needs the open rows that the run found, and leaves those that the next run needs.

@group(0) @binding(1) var<storage, read> models: array<f32>;
@group(0) @binding(2) var<storage, read> steps: array<f32>;
@group(0) @binding(5) var<storage, read_write> open: array<f32>;

// The first row of k among the rows at hand: q's come before.
const KEYS = CHUNK;

fn model_at(at: u32) -> f32 {
    return models[at];
}

// The last rows of the run take their places among the open ones.
fn keep_open(local: u32, sequence: u32, batch: Batch) {
    let count = step.sequence[sequence].count;
    let last = step.sequence[sequence].first_row + count;
    let kept = min(count, MINI_BATCH);
    for (var e = local; e < kept * HD; e += 256u) {
        let back = kept - e / HD;
        let row = last - back;
        let place = (step.sequence[sequence].position + count - back) % MINI_BATCH;
        let at = batch.open_start + place * 2u * HD + e % HD;
        open[at] = k_at(batch.head, row, e % HD);
        open[at + HD] = steps[step_at(row, batch.head, e % HD)];
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let index = workgroup_index(id, n);
    let slot = index / HEADS;
    let head = index % HEADS;
    var sequence = 0u;
    while sequence < step.sequences && slot >= slot_of(sequence) + batches_of(sequence) {
        sequence++;
    }
    if sequence >= step.sequences || slot < slot_of(sequence) {
        return;
    }
    let which = slot - slot_of(sequence);
    let batch = batch_at(sequence, head, which);
    let last = step.sequence[sequence].first_row + step.sequence[sequence].count;
    let rows = min(MINI_BATCH - batch.begun, last - batch.row);
    load_model(local, model_start(slot, head));

    for (var done = 0u; done < rows; done += CHUNK) {
        let m = min(CHUNK, rows - done);
        let row = batch.row + done;
        let start = batch.begun + done;
        load_rows(local, head, row, m);
        for (var e = local; e < m * HD; e += 256u) {
            sh_z[e] = steps[step_at(row + e / HD, head, e % HD)];
        }
        workgroupBarrier();

        find_scores(local, m, start, batch);
        workgroupBarrier();
        let shares = row_shares(local, 0u) - seen_shares(local, m, start, batch);
        workgroupBarrier();
        add_shares(local, shares, held_bias);
        inner_output(local, head, row, m);
    }
    if which == 0u {
        storageBarrier();
        workgroupBarrier();
        keep_open(local, sequence, batch);
    }
}
