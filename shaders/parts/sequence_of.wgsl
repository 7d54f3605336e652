// The sequence that a row of the run belongs to.
fn sequence_of(row: u32) -> u32 {
    for (var s = 0u; s < step.sequences; s++) {
        if row < step.sequence[s].first_row + step.sequence[s].count {
            return s;
        }
    }
    return 0u;
}
