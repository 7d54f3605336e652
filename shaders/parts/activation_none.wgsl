// No activation behind the convolution.
fn activated(value: f32) -> f32 {
    return value;
}
