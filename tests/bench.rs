//! Results of the bench: their statistics on recorded samples, comparing, rows, reports, and files from anyone.

#[path = "bench/compare.rs"]
mod compare;
#[path = "bench/files.rs"]
mod files;
#[path = "bench/hostile.rs"]
mod hostile;
#[path = "bench/made.rs"]
mod made;
#[path = "bench/recorded.rs"]
mod recorded;
#[path = "bench/report.rs"]
mod report;
#[path = "bench/statistics.rs"]
mod statistics;
