//! Bars of time, one group for each step, as long as their ratio to the slowest.

use std::fmt::Write;

use crate::{Row, STEPS, ratio};

/// The picture.
pub fn svg(rows: &[Row]) -> String {
    let height = 10 + STEPS.len() * (30 + 22 * rows.len());
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"860\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let mut y = 20;
    for (step, name) in STEPS.iter().enumerate() {
        let _ = writeln!(svg, "<text x=\"20\" y=\"{y}\" font-weight=\"bold\">{name}</text>");
        y += 10;
        let slowest = rows.iter().map(|row| row.times[step]).max().unwrap_or_default();
        for row in rows {
            let width = 450.0 * ratio(row.times[step], slowest);
            let colour = if row.name.starts_with("plugin-build") { "#2a7" } else { "#99a" };
            let _ = writeln!(
                svg,
                "<text x=\"240\" y=\"{}\" text-anchor=\"end\">{}</text>\
                 <rect x=\"250\" y=\"{y}\" width=\"{width:.1}\" height=\"16\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{:.2} s</text>",
                y + 13,
                row.name,
                width + 256.0,
                y + 13,
                row.times[step].as_secs_f64(),
            );
            y += 22;
        }
        y += 20;
    }
    svg.push_str("</svg>\n");
    svg
}
