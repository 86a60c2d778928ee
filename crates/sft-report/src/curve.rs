//! The loss curve of a run as text.

use std::fmt::Write;

use crate::Run;
use crate::thin::{Point, thin};

/// Rows of the plot.
const HEIGHT: usize = 16;
/// Columns of the numbers at its side, and of the axis.
const SIDE: usize = 10;
/// A plot narrower than this shows nothing.
const NARROWEST: usize = 10;

/// Marks of the three lines, later ones in front.
const STEP: char = '·';
const TRAIN: char = '*';
const VALIDATION: char = 'o';

/// Losses over steps in `width` columns, and below it the first, the last and the lowest value of each line.
pub fn curve(run: &Run, width: usize) -> String {
    let steps: Vec<Point> =
        run.steps.iter().filter_map(|it| Some((it.step as f64, it.loss?))).collect();
    let evals: Vec<Point> =
        run.evals.iter().filter_map(|it| Some((it.step as f64, it.eval_loss?))).collect();
    let Some(last) = run.steps.last() else {
        return "no step has been taken yet\n".to_owned();
    };
    let mut text = format!(
        "step {}, epoch {}: loss in nats a token; {STEP} a step, {TRAIN} mean of neighbours, {VALIDATION} validation\n",
        last.step, last.epoch
    );
    if steps.is_empty() && evals.is_empty() {
        text.push_str("no loss is a finite number\n");
        return text;
    }
    plot(&mut text, &steps, &evals, width.saturating_sub(SIDE).max(NARROWEST));
    summary(&mut text, "train", &steps);
    summary(&mut text, "validation", &evals);
    text
}

fn plot(text: &mut String, steps: &[Point], evals: &[Point], columns: usize) {
    let points = || steps.iter().chain(evals);
    let range = |of: fn(&Point) -> f64| {
        let low = points().map(of).fold(f64::INFINITY, f64::min);
        let high = points().map(of).fold(f64::NEG_INFINITY, f64::max);
        (low, if high > low { high } else { low + 1.0 })
    };
    let (x, y) = (range(|point| point.0), range(|point| point.1));
    let at = |value: f64, range: (f64, f64), cells: usize| {
        let share = (value - range.0) / (range.1 - range.0);
        (share * (cells - 1) as f64).round() as usize
    };
    let mut canvas = vec![vec![' '; columns]; HEIGHT];
    let mut draw = |points: &[Point], mark| {
        for point in points {
            let row = HEIGHT - 1 - at(point.1, y, HEIGHT);
            if let Some(cell) = canvas[row].get_mut(at(point.0, x, columns)) {
                *cell = mark;
            }
        }
    };
    draw(steps, STEP);
    draw(&thin(steps, columns / 2), TRAIN);
    draw(evals, VALIDATION);
    for (row, cells) in canvas.iter().enumerate() {
        let value = y.1 - (y.1 - y.0) * row as f64 / (HEIGHT - 1) as f64;
        let label = if row % 5 == 0 { format!("{value:.3}") } else { String::new() };
        let line: String = cells.iter().collect();
        let _ = writeln!(text, "{label:>8} │{}", line.trim_end());
    }
    let _ = writeln!(text, "{:>8} └{}", "", "─".repeat(columns));
    let (first, last) = (format!("{:.0}", x.0), format!("{:.0}", x.1));
    let gap = columns.saturating_sub(first.len() + last.len()).max(1);
    let _ = writeln!(text, "{:>9} {first}{}{last}", "", " ".repeat(gap));
}

fn summary(text: &mut String, name: &str, points: &[Point]) {
    let best = points.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    if let (Some(first), Some(last), Some(best)) = (points.first(), points.last(), best) {
        let _ = writeln!(
            text,
            "{name:<10} first {:.4} (step {})   last {:.4} (step {})   lowest {:.4} (step {})",
            first.1, first.0, last.1, last.0, best.1, best.0
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EvalLine, StepLine};

    fn run(losses: &[Option<f64>], evals: &[(usize, f64)]) -> Run {
        let step = |(index, loss): (usize, &Option<f64>)| StepLine {
            step: index + 1,
            epoch: 1,
            loss: *loss,
            grad_norm: None,
            learning_rate: 0.0,
            tokens: 1,
            target_tokens: 1,
            seconds: 1.0,
            tokens_per_s: None,
            peak_memory_mb: None,
            skipped: false,
        };
        let eval =
            |&(step, loss): &(usize, f64)| EvalLine { step, epoch: 1, eval_loss: Some(loss) };
        Run {
            steps: losses.iter().enumerate().map(step).collect(),
            evals: evals.iter().map(eval).collect(),
            ..Run::default()
        }
    }

    #[test]
    fn the_plot_fits_the_width_and_has_first_last_and_lowest() {
        let losses: Vec<_> = (0..500).map(|i| Some(3.0 - f64::from(i) * 0.005)).collect();
        for width in [40, 80, 200] {
            let text = curve(&run(&losses, &[(250, 1.5), (500, 1.75)]), width);
            let plot: Vec<&str> = text.lines().filter(|line| line.contains(['│', '└'])).collect();
            assert_eq!(plot.len(), HEIGHT + 1, "{text}");
            assert!(plot.iter().all(|line| line.chars().count() <= width), "{text}");
            assert!(plot[0].contains("3.000 │*") || plot[0].contains("3.000 │·"), "{text}");
            assert!(
                text.contains("train      first 3.0000 (step 1)   last 0.5050 (step 500)"),
                "{text}"
            );
            assert!(text.contains("last 1.7500 (step 500)   lowest 1.5000 (step 250)"), "{text}");
            let marks = plot.iter().map(|line| line.matches(VALIDATION).count()).sum::<usize>();
            assert_eq!(marks, 2, "{text}");
        }
    }

    #[test]
    fn a_run_without_figures_is_no_error() {
        assert!(curve(&Run::default(), 80).contains("no step"));
        assert!(curve(&run(&[None], &[]), 80).contains("no loss is a finite number"));
        let one = curve(&run(&[Some(2.0), None], &[]), 0);
        assert!(one.contains("first 2.0000 (step 1)   last 2.0000 (step 1)"), "{one}");
    }
}
