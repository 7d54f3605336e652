//! The figure: loss against position.

use fastweight::evaluate::Bucket;
use plotters::prelude::*;
use plotters::style::FontTransform;

use super::{Row, with_learning};

/// Okabe and Ito's colours, which people with any kind of colour vision tell apart.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];
const SIZE: (u32, u32) = (860, 520);
const FONT: &str = "sans-serif";

/// Draws one curve a row, with a standard error to both sides as a band.
pub(super) fn draw(rows: &[Row]) -> anyhow::Result<String> {
    let mut svg = String::new();
    draw_into(&mut svg, rows).map_err(|e| anyhow::anyhow!("the figure: {e}"))?;
    Ok(svg)
}

/// Where a bucket is drawn: in its middle on a logarithmic axis, where the tokens of the window end if it is cut short.
fn middle(bucket: &Bucket, window: usize) -> f64 {
    (bucket.from as f64 * (bucket.to as f64).min(window as f64 - 1.0)).sqrt()
}

fn draw_into(svg: &mut String, rows: &[Row]) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let buckets = || rows.iter().flat_map(|row| &row.report.positions);
    let right = rows.iter().map(|row| row.windows.window as f64).fold(2.0, f64::max);
    let left = buckets().map(|b| b.from as f64).fold(right / 2.0, f64::min).max(1.0) * 0.9;
    let (low, high) = buckets().fold((f64::MAX, f64::MIN), |(low, high), b| {
        let e = b.loss.standard_error.unwrap_or(0.0);
        (low.min(b.loss.mean - e), high.max(b.loss.mean + e))
    });
    let room = (high - low).max(0.1) * 0.08;
    let (low, high) = ((low - room).max(0.0), high + room);

    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .margin_right(28)
        .x_label_area_size(52)
        .y_label_area_size(64)
        .build_cartesian_2d((left..right).log_scale().base(2.0), low..high)?;
    let grey = RGBColor(90, 90, 90);
    chart
        .configure_mesh()
        .x_desc("tokens read before, in the window (logarithmic)")
        .y_desc("loss in nats a token")
        .axis_desc_style((FONT, 17))
        .label_style((FONT, 14))
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.2}"))
        .axis_style(grey)
        .bold_line_style(RGBColor(225, 225, 225))
        .light_line_style(TRANSPARENT)
        .draw()?;
    let x = |row: &Row, b: &Bucket| middle(b, row.windows.window);
    let coloured = || rows.iter().zip(COLOURS.iter().cycle());
    // All bands lie under all lines.
    for (row, colour) in coloured() {
        let ends = |b: &Bucket| b.loss.standard_error.map(|e| (x(row, b), b.loss.mean - e, b.loss.mean + e));
        let bounds: Vec<(f64, f64, f64)> = row.report.positions.iter().filter_map(ends).collect();
        let upper = bounds.iter().map(|(x, _, high)| (*x, *high));
        let band: Vec<(f64, f64)> = upper.chain(bounds.iter().rev().map(|(x, low, _)| (*x, *low))).collect();
        if bounds.len() > 1 {
            chart.draw_series([Polygon::new(band, colour.mix(0.16))])?;
        }
    }
    let several = rows.iter().any(|row| row.corpus != rows[0].corpus);
    for (row, colour) in coloured() {
        let positions = &row.report.positions;
        let points: Vec<(f64, f64)> = positions.iter().map(|b| (x(row, b), b.loss.mean)).collect();
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
        let mut name = with_learning(&row.model, row.learning);
        if several {
            name = format!("{name}: {}", row.corpus);
        }
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .margin(12)
        .legend_area_size(30)
        .label_font((FONT, 15))
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(200, 200, 200))
        .draw()?;
    root.draw(&Text::new(
        "band: ± standard error over windows",
        (SIZE.0 as i32 - 28, SIZE.1 as i32 - 22),
        (FONT, 13).into_font().transform(FontTransform::None).color(&grey).pos(plotters::style::text_anchor::Pos::new(
            plotters::style::text_anchor::HPos::Right,
            plotters::style::text_anchor::VPos::Center,
        )),
    ))?;
    root.present()
}
