//! Every linked shader: what its header says, and what naga makes of it.
