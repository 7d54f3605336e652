// y[i] = Σₖ sₖ after 8 · ROUNDS steps s ← s · a + b, from sₖ = x[i] + k, k < 12
//
//   x        [n]  read
//   factors  [2]  read        a, b
//   y        [n]  read_write
//
// One invocation an element, a workgroup of 256: twelve chains that don't wait for one another, and eight steps a round, so that the loop is a small part.

override ELEMENTS: u32;
override ROUNDS: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> factors: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = workgroup_index(id, n) * 256u + local;
    if i >= ELEMENTS {
        return;
    }
    let a = Numbers(Number(factors[0]));
    let b = Numbers(Number(factors[1]));
    var first = Numbers(Number(x[i])) + Numbers(0, 1, 2, 3);
    var second = first + Numbers(4);
    var third = first + Numbers(8);
    for (var round = 0u; round < ROUNDS; round++) {
        first = first * a + b;
        second = second * a + b;
        third = third * a + b;
        first = first * a + b;
        second = second * a + b;
        third = third * a + b;
        first = first * a + b;
        second = second * a + b;
        third = third * a + b;
        first = first * a + b;
        second = second * a + b;
        third = third * a + b;
        first = first * a + b;
        second = second * a + b;
        third = third * a + b;
        first = first * a + b;
        second = second * a + b;
        third = third * a + b;
        first = first * a + b;
        second = second * a + b;
        third = third * a + b;
        first = first * a + b;
        second = second * a + b;
        third = third * a + b;
    }
    let sum = vec4<f32>(first) + vec4<f32>(second) + vec4<f32>(third);
    y[i] = sum.x + sum.y + sum.z + sum.w;
}
