//! Files from strangers: each a typed error that names the thing.
