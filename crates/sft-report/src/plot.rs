//! Plots as SVG. Colours are names for the page's style sheet, which replaces them by those of light, dark and paper.

use std::fmt::Display;

use plotters::prelude::*;

use crate::ReportError;
use crate::thin::{Point, thin};

/// Width and height. Two plots stand side by side where there is room, and one fills a telephone.
const SIZE: (u32, u32) = (480, 300);
const FONT: (&str, i32) = ("sans-serif", 15);
/// Points of a line at most; more cannot be told apart at this width.
const POINTS: usize = 400;

/// What is not above it is drawn as zero.
const SMALLEST: f64 = 1e-200;

/// Axes and their labels.
const INK: RGBColor = RGBColor(0, 0, 0);
/// Lines across.
const GRID: RGBColor = RGBColor(0xDD, 0xDD, 0xDD);

/// A line of a plot.
pub(crate) struct Line {
    pub(crate) points: Vec<Point>,
    pub(crate) colour: Colour,
    /// Each point gets a dot.
    pub(crate) dots: bool,
}

/// What a line shows; the style sheet has the same colours.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Colour {
    /// One value a step.
    Step,
    /// The training of an epoch, or the model.
    Train,
    /// Validation, or the base.
    Validation,
}

impl Colour {
    fn rgb(self) -> RGBColor {
        match self {
            Self::Step => RGBColor(0x8F, 0xB8, 0xDE),
            Self::Train => RGBColor(0x1F, 0x5F, 0xA8),
            Self::Validation => RGBColor(0xC7, 0x5B, 0x12),
        }
    }
}

/// A plot of lines over steps; none where no line has a point.
pub(crate) fn lines(lines: &[Line]) -> Result<Option<String>, ReportError> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let last = points().map(|point| point.0).fold(1.0, f64::max);
    let Some(highest) = points().map(|point| point.1).max_by(f64::total_cmp) else {
        return Ok(None);
    };
    // The library looks for marks of an axis forever where numbers are very large or very small: it gets them by this
    // power of ten.
    let unit = if highest > SMALLEST { 10_f64.powf(highest.log10().floor()) } else { 1.0 };
    let scaled = |value: f64| (value / unit).clamp(0.0, 10.0);
    let top = if highest > SMALLEST { scaled(highest) * 1.05 } else { 1.0 };
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(6)
            .margin_right(22)
            .x_label_area_size(44)
            .y_label_area_size(74)
            .build_cartesian_2d(0.0..last, 0.0..top)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(INK)
            .label_style(FONT.into_font().color(&INK))
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| tick(*y * unit, top * unit))
            .x_desc("step")
            .draw()
            .map_err(failed)?;
        for line in lines {
            let rgb = line.colour.rgb();
            let width = if line.dots { 2 } else { 1 };
            let points = thin(&line.points, POINTS);
            let points: Vec<Point> = points.iter().map(|&(x, y)| (x, scaled(y))).collect();
            chart
                .draw_series(LineSeries::new(points.iter().copied(), rgb.stroke_width(width)))
                .map_err(failed)?;
            if line.dots {
                let dot = |point: &Point| Circle::new(*point, 3, rgb.filled());
                chart.draw_series(points.iter().map(dot)).map_err(failed)?;
            }
        }
        root.present().map_err(failed)?;
    }
    Ok(Some(svg))
}

/// A group of bars: their name, and the values of model and base.
pub(crate) struct Bars {
    pub(crate) name: String,
    pub(crate) model: Option<f64>,
    pub(crate) base: Option<f64>,
}

/// Horizontal bars from 0 to 1, with a line at one half.
pub(crate) fn bars(groups: &[Bars]) -> Result<Option<String>, ReportError> {
    const ROW: u32 = 44;
    /// Characters of a name; the table beside the plot has it in full.
    const NAME: usize = 18;
    if groups.iter().all(|group| group.model.is_none() && group.base.is_none()) {
        return Ok(None);
    }
    let count = groups.len();
    let size = (SIZE.0, ROW * count as u32 + 50);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(6)
            .margin_right(22)
            .x_label_area_size(38)
            .y_label_area_size(150)
            .build_cartesian_2d(0.0..1.0, 0.0..count as f64)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(INK)
            .label_style(FONT.into_font().color(&INK))
            .x_labels(5)
            .x_label_formatter(&|x| format!("{x:.2}"))
            .x_desc("AUROC")
            .draw()
            .map_err(failed)?;
        let half = [(0.5, 0.0), (0.5, count as f64)];
        chart.draw_series(LineSeries::new(half, INK.stroke_width(1))).map_err(failed)?;
        for (index, group) in groups.iter().enumerate() {
            let top = (count - index) as f64;
            let bar = |value: Option<f64>, from: f64, colour: Colour| {
                let value = value.unwrap_or_default().clamp(0.0, 1.0);
                Rectangle::new(
                    [(0.0, top - from), (value, top - from - 0.32)],
                    colour.rgb().filled(),
                )
            };
            chart
                .draw_series([
                    bar(group.model, 0.14, Colour::Train),
                    bar(group.base, 0.5, Colour::Validation),
                ])
                .map_err(failed)?;
            let mut name: String = group.name.chars().take(NAME).collect();
            if name.len() < group.name.len() {
                name.push('…');
            }
            let middle = chart.plotting_area().map_coordinate(&(0.0, top - 0.5));
            let style = FONT.into_font().color(&INK).pos(plotters::style::text_anchor::Pos::new(
                plotters::style::text_anchor::HPos::Right,
                plotters::style::text_anchor::VPos::Center,
            ));
            root.draw_text(&name, &style, (middle.0 - 8, middle.1)).map_err(failed)?;
        }
        root.present().map_err(failed)?;
    }
    Ok(Some(svg))
}

/// A number at the side of a plot whose highest value is `top`.
fn tick(value: f64, top: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    match top {
        top if top < 0.01 => format!("{value:.1e}"),
        top if top < 1.0 => format!("{value:.2}"),
        top if top < 10.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn failed(error: impl Display) -> ReportError {
    ReportError::Plot { reason: error.to_string() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The points of the polylines in an SVG with a stroke of this colour.
    fn polylines(svg: &str, colour: &str) -> Vec<Vec<(f64, f64)>> {
        let lines = svg
            .split("<polyline")
            .skip(1)
            .filter(|tag| tag.split('>').next().unwrap().contains(&format!("stroke=\"{colour}\"")));
        let number = |text: &str| text.parse::<f64>().unwrap();
        let points = |tag: &str| {
            let points = tag.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
            points
                .split_whitespace()
                .map(|point| point.split_once(',').unwrap())
                .map(|(x, y)| (number(x), number(y)))
                .collect()
        };
        lines.map(points).collect()
    }

    #[test]
    fn a_line_has_its_points_where_they_belong() {
        let points = vec![(0.0, 4.0), (50.0, 2.0), (100.0, 0.0)];
        let line = Line { points, colour: Colour::Step, dots: false };
        let svg = lines(&[line]).unwrap().unwrap();
        let [line] = &polylines(&svg, "#8FB8DE")[..] else { panic!("{svg}") };
        let [first, middle, last] = line[..] else { panic!("{line:?}") };
        // A straight line, falling (downwards is a higher y), that ends at the right of the axis.
        assert!((middle.0 - f64::midpoint(first.0, last.0)).abs() <= 1.0, "{line:?}");
        assert!((middle.1 - f64::midpoint(first.1, last.1)).abs() <= 1.0, "{line:?}");
        assert!(first.1 < middle.1 && first.0 < middle.0, "{line:?}");
        assert!(svg.contains("viewBox=\"0 0 480 300\""));
    }

    #[test]
    fn a_long_line_is_thinned_and_none_is_no_plot() {
        let points = (0..100_000).map(|i| (f64::from(i), 1.0)).collect();
        let svg = lines(&[Line { points, colour: Colour::Step, dots: false }]).unwrap().unwrap();
        assert!(polylines(&svg, "#8FB8DE")[0].len() <= POINTS);
        assert!(svg.len() < 20_000, "{}", svg.len());
        assert!(lines(&[]).unwrap().is_none());
        assert!(bars(&[]).unwrap().is_none());
    }

    /// A plot that cannot be drawn well must be drawn all the same, and at once.
    #[test]
    fn no_number_is_too_large_or_too_small() {
        for value in [f64::MAX, 1e300, 1e30, 1e-300, f64::MIN_POSITIVE, 0.0, -1.0, -1e300] {
            for points in [vec![(1.0, value)], vec![(1.0, 1.0), (2.0, value)]] {
                let line = Line { points, colour: Colour::Train, dots: true };
                let svg = lines(&[line]).unwrap().unwrap();
                assert!(svg.len() < 20_000 && svg.ends_with("</svg>\n"), "{value}: {svg}");
            }
        }
        let none = Bars { name: "x".into(), model: None, base: Some(-3.0) };
        assert!(bars(&[none]).unwrap().is_some());
    }

    #[test]
    fn the_name_of_a_bar_is_text() {
        let name = "<script>alert(1)</script>".to_owned();
        let svg = bars(&[Bars { name, model: Some(0.9), base: None }]).unwrap().unwrap();
        assert!(!svg.contains("<script"), "{svg}");
        assert!(svg.contains("&lt;script&gt;"), "{svg}");
    }

    #[test]
    fn ticks_are_short() {
        for (value, top, text) in [
            (1.5e-4, 2.1e-4, "1.5e-4"),
            (0.25, 0.9, "0.25"),
            (2.0, 4.2, "2.0"),
            (9500.0, 1e4, "9500"),
            (0.0, 1.0, "0"),
        ] {
            assert_eq!(tick(value, top), text);
        }
    }
}
