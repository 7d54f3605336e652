//! Figures as SVG inside the page: sizes for a phone's width, colours from the page's style.
//!
//! Not through `plotters`: in a browser it measures text in the document, which a worker doesn't have.

use maud::{Markup, html};

/// A figure's size, in its own units; a phone shows it a little smaller, a desktop as it is.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 270.0;
/// The plot inside: left, right, top, bottom.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 390.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 224.0;
/// Colours and marks of the style; more series begin again.
pub(super) const COLOURS: usize = 7;

/// One axis.
pub(super) struct Axis {
    label: &'static str,
    logarithmic: bool,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
    format: fn(f64) -> String,
}

impl Axis {
    /// A logarithmic axis that holds these positive values, with a tick at each step of `base` or of several.
    pub(super) fn logarithmic(
        label: &'static str,
        values: impl Iterator<Item = f64>,
        base: f64,
        format: fn(f64) -> String,
    ) -> Axis {
        let (low, high) = bounds(values.filter(|x| x.is_finite() && *x > 0.0)).unwrap_or((1.0, base));
        let (low, high) = if high / low < 4.0 { (low / 2.0, high * 2.0) } else { (low / 1.15, high * 1.15) };
        let (from, to) = (low.log(base), high.log(base));
        let mut ticks: Vec<f64> = Vec::new();
        // Between decades where there is room for it.
        let within: &[f64] = if base == 10.0 && to - from < 2.2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        for i in from.floor() as i32..=to.ceil() as i32 {
            ticks.extend(within.iter().map(|x| x * base.powi(i)).filter(|x| (low..=high).contains(x)));
        }
        let step = ticks.len().div_ceil(6).max(1);
        let ticks = ticks.into_iter().step_by(step).collect();
        Axis { label, logarithmic: true, low, high, ticks, format }
    }

    /// An axis from nothing to the largest of these values.
    pub(super) fn from_zero(label: &'static str, values: impl Iterator<Item = f64>, format: fn(f64) -> String) -> Axis {
        let high = bounds(values.filter(|x| x.is_finite())).map_or(1.0, |(_, high)| high).max(f64::MIN_POSITIVE) * 1.08;
        let rough = high / 5.0;
        let decade = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|m| m * decade).find(|s| *s >= rough).unwrap_or(rough);
        let ticks = (0..=8).map(|i| f64::from(i) * step).filter(|x| *x <= high).collect();
        Axis { label, logarithmic: false, low: 0.0, high, ticks, format }
    }

    /// A tick's words: its number without zeros at the end.
    fn words(&self, tick: f64) -> String {
        let text = (self.format)(tick);
        let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
        let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
        format!("{number} {unit}").trim_end().into()
    }

    /// Where a value lies on the way from the axis's beginning to its end.
    fn share(&self, x: f64) -> f64 {
        let share = match self.logarithmic {
            true => (x.max(f64::MIN_POSITIVE).ln() - self.low.ln()) / (self.high.ln() - self.low.ln()),
            false => (x - self.low) / (self.high - self.low),
        };
        within(share, -0.02, 1.02)
    }
}

/// Between both ends; what is no number lies at the beginning.
fn within(x: f64, low: f64, high: f64) -> f64 {
    if x.is_nan() { low } else { x.clamp(low, high) }
}

fn bounds(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |found, x| found.map_or(Some((x, x)), |(low, high): (f64, f64)| Some((low.min(x), high.max(x)))))
}

/// A point with what it says when pointed at.
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    /// Both ends of its uncertainty.
    pub(super) interval: Option<[f64; 2]>,
    pub(super) title: String,
    /// Drawn hollow: not to be trusted, or not what would be chosen.
    pub(super) hollow: bool,
}

/// Points of one kind.
pub(super) struct Series {
    pub(super) name: String,
    /// Which colour and mark.
    pub(super) colour: usize,
    pub(super) points: Vec<Point>,
    /// Joined by a line.
    pub(super) joined: bool,
}

/// A line across the plot without points: a ceiling.
pub(super) struct Roof {
    pub(super) name: String,
    pub(super) from: (f64, f64),
    pub(super) to: (f64, f64),
}

/// A figure.
pub(super) struct Plot {
    pub(super) title: String,
    /// How to read it, a sentence or two.
    pub(super) hint: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
    pub(super) roofs: Vec<Roof>,
}

fn px(x: f64) -> String {
    format!("{x:.1}")
}

impl Plot {
    /// The figure with its caption and its key.
    pub(super) fn draw(&self) -> Markup {
        let x = |v: f64| LEFT + (RIGHT - LEFT) * self.x.share(v);
        let y = |v: f64| BOTTOM - (BOTTOM - TOP) * self.y.share(v);
        let label = format!("{}. {}: {}", self.title, self.y.label, self.x.label);
        html! {
            figure {
                figcaption { h3 { (self.title) } p.hint { (self.hint) } }
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(label) {
                    @for tick in &self.y.ticks {
                        line.grid x1=(LEFT) x2=(RIGHT) y1=(px(y(*tick))) y2=(px(y(*tick))) {}
                        text.tick x=(LEFT - 6.0) y=(px(y(*tick) + 4.0)) text-anchor="end" { (self.y.words(*tick)) }
                    }
                    @for tick in &self.x.ticks {
                        line.grid x1=(px(x(*tick))) x2=(px(x(*tick))) y1=(TOP) y2=(BOTTOM) {}
                        text.tick x=(px(x(*tick))) y=(BOTTOM + 16.0) text-anchor="middle" { (self.x.words(*tick)) }
                    }
                    line.axis x1=(LEFT) x2=(RIGHT) y1=(BOTTOM) y2=(BOTTOM) {}
                    text.label x=((LEFT + RIGHT) / 2.0) y=(HEIGHT - 10.0) text-anchor="middle" { (self.x.label) }
                    @for roof in &self.roofs {
                        line.roof x1=(px(x(roof.from.0))) y1=(px(y(roof.from.1))) x2=(px(x(roof.to.0))) y2=(px(y(roof.to.1))) {
                            title { (roof.name) }
                        }
                    }
                    @for series in &self.series {
                        g class=(format!("s{}", series.colour % COLOURS)) {
                            @if series.joined && series.points.len() > 1 {
                                polyline points=(series.points.iter().map(|p| format!("{},{}", px(x(p.x)), px(y(p.y)))).collect::<Vec<_>>().join(" ")) {}
                            }
                            @for point in &series.points {
                                @if let Some([low, high]) = point.interval {
                                    line.whisker x1=(px(x(point.x))) x2=(px(x(point.x))) y1=(px(y(low))) y2=(px(y(high))) {}
                                }
                                (mark(series.colour, x(point.x), y(point.y), point))
                            }
                        }
                    }
                }
                p.unit { (self.y.label) }
                ul.key {
                    @for series in self.series.iter().filter(|s| !s.name.is_empty()) {
                        li class=(format!("s{}", series.colour % COLOURS)) { (swatch(series.colour)) (series.name) }
                    }
                    @for roof in &self.roofs {
                        li { svg.swatch viewBox="0 0 16 12" aria-hidden="true" { line.roof x1="0" x2="16" y1="6" y2="6" {} } (roof.name) }
                    }
                }
            }
        }
    }
}

/// A series' mark beside its name.
pub(super) fn swatch(colour: usize) -> Markup {
    let point = Point { x: 0.0, y: 0.0, interval: None, title: String::new(), hollow: false };
    html! { svg.swatch viewBox="0 0 12 12" aria-hidden="true" { g class=(format!("s{}", colour % COLOURS)) { (mark(colour, 6.0, 6.0, &point)) } } }
}

/// Shapes beside colours, for eyes that don't tell these apart.
fn mark(colour: usize, x: f64, y: f64, point: &Point) -> Markup {
    let class = if point.hollow { "mark hollow" } else { "mark" };
    let title = html! { @if !point.title.is_empty() { title { (point.title) } } };
    let around = |corners: &[(f64, f64)]| {
        corners.iter().map(|(dx, dy)| format!("{},{}", px(x + dx), px(y + dy))).collect::<Vec<_>>().join(" ")
    };
    html! {
        @match colour % 4 {
            0 => circle class=(class) cx=(px(x)) cy=(px(y)) r="3.6" { (title) },
            1 => rect class=(class) x=(px(x - 3.2)) y=(px(y - 3.2)) width="6.4" height="6.4" { (title) },
            2 => polygon class=(class) points=(around(&[(0.0, -4.6), (4.6, 0.0), (0.0, 4.6), (-4.6, 0.0)])) { (title) },
            _ => polygon class=(class) points=(around(&[(0.0, -4.4), (4.4, 3.4), (-4.4, 3.4)])) { (title) },
        }
    }
}

/// A bar with its uncertainty, of a length that is a share of its column's width; for cells of a table.
pub(super) fn bar(colour: usize, length: f64, interval: Option<[f64; 2]>) -> Markup {
    let percent = |x: f64| format!("{:.2}%", within(x, 0.0, 1.0) * 100.0);
    html! {
        svg.bar aria-hidden="true" {
            g class=(format!("s{}", colour % COLOURS)) {
                rect.fill x="0" y="3" width=(percent(length)) height="6" rx="1" {}
                @if let Some([low, high]) = interval {
                    line.whisker x1=(percent(low)) x2=(percent(high)) y1="6" y2="6" {}
                }
            }
        }
    }
}

/// A ratio with its interval on a logarithmic axis from `1 / reach` to `reach`, 1 in the middle; for cells of a table.
pub(super) fn forest(class: &str, ratio: f64, interval: Option<[f64; 2]>, reach: f64) -> Markup {
    let at = |x: f64| format!("{:.2}%", within(0.5 + x.ln() / reach.ln() / 2.0, 0.0, 1.0) * 100.0);
    html! {
        svg.forest aria-hidden="true" {
            line.grid x1="50%" x2="50%" y1="0" y2="18" {}
            g class=(class) {
                @if let Some([low, high]) = interval { line.whisker x1=(at(low)) x2=(at(high)) y1="9" y2="9" {} }
                circle.mark cx=(at(ratio)) cy="9" r="4" {}
            }
        }
    }
}
