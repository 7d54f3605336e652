// The largest value in a workgroup of 256 invocations, the same in each of them.
var<workgroup> sh_max: array<f32, 256>;

fn workgroup_max(local: u32, value: f32) -> f32 {
    sh_max[local] = value;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half >>= 1u) {
        if local < half {
            sh_max[local] = max(sh_max[local], sh_max[local + half]);
        }
        workgroupBarrier();
    }
    let largest = sh_max[0];
    // Nobody may write the next value before all have read this one.
    workgroupBarrier();
    return largest;
}
