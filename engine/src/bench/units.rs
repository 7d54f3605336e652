//! Figures for people: three digits that matter, and a unit that fits.

/// A number with three digits that matter, as many zeros as it needs, and no exponent.
pub fn number(x: f64) -> String {
    let digits = match x.abs() {
        x if !(x.is_finite()) => return "none".into(),
        0.0 => 0,
        1e15.. => return format!("{x:.2e}"),
        x if x >= 99.95 => 0,
        x if x >= 9.995 => 1,
        x if x >= 0.9995 => 2,
        x => (2.0 - x.log10().floor()).clamp(0.0, 12.0) as usize,
    };
    let text = format!("{x:.digits$}");
    // Thousands stand apart.
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let digits = whole.trim_start_matches('-');
    let mut grouped = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(c);
    }
    format!("{}{grouped}{rest}", if whole.starts_with('-') { "-" } else { "" })
}

fn scaled(x: f64, units: &[(f64, &str)]) -> String {
    let last = units.len() - 1;
    let (scale, unit) =
        units.iter().enumerate().find(|(i, u)| x.abs() >= u.0 * 0.9995 || *i == last).map_or((1.0, ""), |(_, u)| *u);
    format!("{} {unit}", number(x / scale))
}

/// Seconds.
pub fn seconds(x: f64) -> String {
    scaled(x, &[(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")])
}

/// Bytes, in powers of 1024.
pub fn bytes(x: f64) -> String {
    const K: f64 = 1024.0;
    scaled(x, &[(K * K * K * K, "TiB"), (K * K * K, "GiB"), (K * K, "MiB"), (K, "KiB"), (1.0, "B")])
}

/// Bytes a second, in powers of 1000 as makers of memory count.
pub fn bandwidth(x: f64) -> String {
    scaled(x, &[(1e12, "TB/s"), (1e9, "GB/s"), (1e6, "MB/s")])
}

/// Floating-point operations a second.
pub fn operations(x: f64) -> String {
    scaled(x, &[(1e12, "TFLOP/s"), (1e9, "GFLOP/s"), (1e6, "MFLOP/s")])
}

/// A count, in powers of 1000: `6.01 M`.
pub fn count(x: f64) -> String {
    scaled(x, &[(1e9, "B"), (1e6, "M"), (1e3, "k"), (1.0, "")]).trim_end().to_string()
}

/// A large number, with the prefix of its unit: `8.00 T`.
pub fn prefixed(x: f64) -> String {
    scaled(x, &[(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")]).trim_end().to_string()
}

/// A share as a percentage.
pub fn percent(share: f64) -> String {
    format!("{} %", number(share * 100.0))
}

/// A ratio of times as a signed percentage: `+10.2 %` takes that much longer.
pub fn change(ratio: f64) -> String {
    let percent = (ratio - 1.0) * 100.0;
    if !percent.is_finite() {
        return "none".into();
    }
    let digits = if percent.abs() < 99.95 { 1 } else { 0 };
    format!("{percent:+.digits$} %").replace('-', "−")
}
