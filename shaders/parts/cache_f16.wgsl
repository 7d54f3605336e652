// Cache format: half precision, four to two words. What is over its range is held at the largest half.
alias Cached = vec2<u32>;

fn widened(x: Cached) -> vec4<f32> {
    return vec4(unpack2x16float(x.x), unpack2x16float(x.y));
}

fn narrowed(x: vec4<f32>) -> Cached {
    let y = clamp(x, vec4(-65504.0), vec4(65504.0));
    return vec2(pack2x16float(y.xy), pack2x16float(y.zw));
}
