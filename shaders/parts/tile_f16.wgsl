// Tiles of weights that are stored in half precision, and are so here: half the workgroup memory, half the registers, and the same numbers. What
// widens them can be a part of the multiply-add.
alias Tile = vec4<f16>;

fn tiled(w: vec4<f32>) -> Tile {
    return vec4<f16>(w);
}

fn untiled(w: Tile) -> vec4<f32> {
    return vec4<f32>(w);
}
