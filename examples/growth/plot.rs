//! A picture of lines over a scale that grows by factors.

use super::figures::{Series, scales, short};
use anyhow::{Context, anyhow};
use plotters::prelude::*;
use plotters::style::Color;
use std::path::Path;

const SIZE: (u32, u32) = (860, 420);
/// Family and size.
const FONT: (&str, u32) = ("sans-serif", 14);
/// Room above the highest value.
const HEADROOM: f64 = 1.15;
/// Told apart also without colours: the three members' are the darker ones.
const COLORS: [RGBColor; 8] = [
    RGBColor(78, 121, 167),
    RGBColor(242, 142, 43),
    RGBColor(89, 161, 79),
    RGBColor(225, 87, 89),
    RGBColor(118, 183, 178),
    RGBColor(176, 122, 161),
    RGBColor(156, 117, 95),
    RGBColor(90, 90, 90),
];

/// Writes an SVG; the fonts are those of whoever looks at it.
pub fn draw(file: &Path, subject: &str, heading: &str, all: &[Series]) -> anyhow::Result<()> {
    let mut picture = String::new();
    draw_into(&mut picture, subject, heading, all).map_err(|error| anyhow!("{error}"))?;
    std::fs::write(file, picture).with_context(|| file.display().to_string())
}

fn draw_into<'a>(
    picture: &'a mut String,
    subject: &str,
    heading: &str,
    all: &[Series],
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    let scales = scales(all);
    let smallest = scales.first().copied().unwrap_or(1.0).max(1.0);
    let largest = scales.last().copied().unwrap_or(1.0).max(smallest * 2.0);
    let values = all.iter().flat_map(|series| &series.points);
    let highest = values.map(|(_, value)| *value).fold(f64::EPSILON, f64::max);
    let area = SVGBackend::with_string(picture, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d((smallest..largest).log_scale(), 0.0..highest * HEADROOM)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .label_style(FONT)
        .axis_desc_style(FONT)
        .x_desc(subject)
        .y_desc(heading)
        .x_label_formatter(&|scale| short_scale(*scale))
        .y_label_formatter(&|value| short(*value))
        .draw()?;
    for (series, color) in all.iter().zip(COLORS.iter().cycle()) {
        let points = || series.points.iter().copied();
        let style = color.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points(), style))?
            .label(series.name.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        chart.draw_series(points().map(|point| Circle::new(point, 3, color.filled())))?;
    }
    chart
        .configure_series_labels()
        .label_font(FONT)
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()
}

fn short_scale(scale: f64) -> String {
    match scale {
        millions if millions >= 1e6 => format!("{} M", millions / 1e6),
        thousands if thousands >= 1e3 => format!("{} k", thousands / 1e3),
        few => format!("{few:.0}"),
    }
}
