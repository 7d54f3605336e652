// Epilogue: the result is added to what is there.
fn store(i: u32, value: f32) {
    y[i] += value;
}
