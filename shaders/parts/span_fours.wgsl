// A product goes along the rows in groups of four.
alias Span = vec4<f32>;

const SPAN = 4u;

fn span_source(row: u32, k: u32) -> Span {
    return source4(row, k);
}

fn span_scaled(value: Span, k: u32) -> Span {
    return value * prologue4(k);
}

fn span_weight(row: u32, k: u32) -> Span {
    return weight4(row, k);
}

fn span_dot(a: Span, b: Span) -> f32 {
    return dot(a, b);
}
