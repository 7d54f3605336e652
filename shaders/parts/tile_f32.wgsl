// Tiles of weights in single precision.
alias Tile = vec4<f32>;

fn tiled(w: vec4<f32>) -> Tile {
    return w;
}

fn untiled(w: Tile) -> vec4<f32> {
    return w;
}
