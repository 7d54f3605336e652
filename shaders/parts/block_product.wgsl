// sums + rows · columns, as chains of fused multiply-adds: the sum of a product of matrices compiles to products and sums that are not fused.
fn block_product(sums: mat4x4<f32>, rows: mat4x4<f32>, columns: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4(
        column_product(sums[0], rows, columns[0]),
        column_product(sums[1], rows, columns[1]),
        column_product(sums[2], rows, columns[2]),
        column_product(sums[3], rows, columns[3]),
    );
}

fn column_product(sums: vec4<f32>, rows: mat4x4<f32>, column: vec4<f32>) -> vec4<f32> {
    let first = fma(rows[1], vec4(column.y), fma(rows[0], vec4(column.x), sums));
    return fma(rows[3], vec4(column.w), fma(rows[2], vec4(column.z), first));
}
