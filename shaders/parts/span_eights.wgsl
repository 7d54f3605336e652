// A product goes along the rows in groups of eight: half as many requests for weights of which eight are four words.
alias Span = mat2x4<f32>;

const SPAN = 8u;

fn span_source(row: u32, k: u32) -> Span {
    return mat2x4(source4(row, k), source4(row, k + 4u));
}

fn span_scaled(value: Span, k: u32) -> Span {
    return mat2x4(value[0] * prologue4(k), value[1] * prologue4(k + 4u));
}

fn span_weight(row: u32, k: u32) -> Span {
    return weight8(row, k);
}

fn span_dot(a: Span, b: Span) -> f32 {
    return dot(a[0], b[0]) + dot(a[1], b[1]);
}
