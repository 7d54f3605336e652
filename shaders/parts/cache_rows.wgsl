// Where in its part of the caches a sequence holds a position. The room that each sequence has follows from the buffer, so that a
// cache grows without another shader.
override CACHE_WIDTH: u32;

fn cache_context() -> u32 {
    return arrayLength(&k_cache) / (part.count * (CACHE_WIDTH / 4u));
}

// The first group of four of that row.
fn cache_row(sequence: u32, position: u32) -> u32 {
    return ((sequence - part.first) * cache_context() + position) * (CACHE_WIDTH / 4u);
}

// Whether this dispatch has the sequence.
fn in_part(sequence: u32) -> bool {
    return sequence >= part.first && sequence < part.first + part.count;
}
