//! Properties of sessions: splits, snapshots, forks, batches, limits.
