//! Sampling against a host sort, and its frequencies.
