//! Measuring a device: its ceilings, the kernels against them, and whole models. One measuring code and one schema, natively and in a browser.

pub mod compare;
pub mod report;
pub mod results;
pub mod statistics;
pub mod tables;
pub mod units;
