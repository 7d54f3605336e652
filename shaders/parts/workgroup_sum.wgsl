// The sum of a value over a workgroup of 256 invocations, the same in each of them.
var<workgroup> sh_sum: array<f32, 256>;

fn workgroup_sum(local: u32, value: f32) -> f32 {
    sh_sum[local] = value;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half >>= 1u) {
        if local < half {
            sh_sum[local] += sh_sum[local + half];
        }
        workgroupBarrier();
    }
    let sum = sh_sum[0];
    // Nobody may write the next value before all have read this one.
    workgroupBarrier();
    return sum;
}
