// Epilogue: the result as it is.
fn store(i: u32, value: f32) {
    y[i] = value;
}
