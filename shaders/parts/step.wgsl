// Step values: what one run of a plan is told besides its tensors. Mirrors engine/src/step.rs field for field.

struct Sequence {
    position: u32,
    count: u32,
    first_row: u32,
    learning: f32,
    seed: u32,
    sharpness: f32,
    top_k: u32,
    top_p: u32,
    min_p_drop: f32,
    penalty: f32,
    inverse_penalty: f32,
    last_n: u32,
}

struct Step {
    rows: u32,
    sequences: u32,
    longest: u32,
    context: u32,
    sequence: array<Sequence, 64>,
}

struct Part {
    first: u32,
    count: u32,
}

@group(3) @binding(0) var<uniform> step: Step;
@group(3) @binding(1) var<uniform> part: Part;

// What the rows of a value count: tensor::Axis in this order.
fn live_rows(axis: u32, capacity: u32) -> u32 {
    return select(select(capacity, step.rows, axis == 1u), step.sequences, axis == 2u);
}

// The index of this workgroup among all of the dispatch: counts over 65,535 are folded into the second axis.
fn workgroup_index(id: vec3<u32>, n: vec3<u32>) -> u32 {
    return id.y * n.x + id.x;
}
