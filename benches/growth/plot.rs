//! One panel a series: time over count, a line for each step.

use std::fmt::Write;

use crate::{Point, STEPS};

const COLOURS: [&str; 3] = ["#2a7", "#27a", "#c50"];
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 220.0;

/// The picture.
pub fn svg(series: &[(&str, Vec<Point>)]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        (WIDTH + 90.0) * float(series.len()),
        HEIGHT + 100.0,
    );
    for (panel, (name, points)) in series.iter().enumerate() {
        let left = 70.0 + float(panel) * (WIDTH + 90.0);
        let most = points.iter().map(|point| float(point.count)).fold(1.0, f64::max);
        let longest = points.iter().flat_map(|point| point.times).map(|time| time.as_secs_f64()).fold(0.001, f64::max);
        let x = |count: usize| left + WIDTH * float(count) / most;
        let y = |seconds: f64| 40.0 + HEIGHT - HEIGHT * seconds / longest;
        let _ = writeln!(
            svg,
            "<text x=\"{left}\" y=\"24\" font-weight=\"bold\">{name}</text>\
             <path d=\"M{left} 40V{}H{}\" fill=\"none\" stroke=\"black\"/>\
             <text x=\"{}\" y=\"44\" text-anchor=\"end\">{longest:.2} s</text>",
            40.0 + HEIGHT,
            left + WIDTH,
            left - 6.0,
        );
        for (step, colour) in COLOURS.iter().enumerate() {
            let line: Vec<String> =
                points.iter().map(|point| format!("{:.1},{:.1}", x(point.count), y(point.times[step].as_secs_f64()))).collect();
            let _ =
                writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>", line.join(" "));
            let row = 80.0 + HEIGHT + 16.0 * float(step);
            if panel == 0 {
                let _ = writeln!(svg, "<text x=\"{left}\" y=\"{row}\" fill=\"{colour}\">{}</text>", STEPS[step]);
            }
        }
        for point in points {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                x(point.count),
                HEIGHT + 56.0,
                point.count
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

#[expect(clippy::cast_precision_loss, reason = "for people to look at")]
fn float(count: usize) -> f64 {
    count as f64
}
