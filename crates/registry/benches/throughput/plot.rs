//! Two bars for each row, as long as their ratio to the longer one.

use std::fmt::Write as _;

use crate::Row;

/// The picture.
pub fn svg(rows: &[Row], names: &[&str]) -> String {
    let group = 20 + 18 * names.len();
    let height = 20 + group * rows.len();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"860\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (number, row) in rows.iter().enumerate() {
        let mut y = 20 + group * number;
        let slowest = (0..names.len()).map(|server| row.median(server)).max().unwrap_or_default();
        let _ = writeln!(svg, "<text x=\"20\" y=\"{}\" font-weight=\"bold\">{}</text>", y + 13, row.title);
        for (server, name) in names.iter().enumerate() {
            let width = 300.0 * row.median(server).as_secs_f64() / slowest.as_secs_f64();
            let colour = if server == 0 { "#2a7" } else { "#99a" };
            let _ = writeln!(
                svg,
                "<text x=\"340\" y=\"{}\" text-anchor=\"end\">{name}</text>\
                 <rect x=\"350\" y=\"{y}\" width=\"{width:.1}\" height=\"15\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{:.3} s, {}</text>",
                y + 13,
                width + 356.0,
                y + 13,
                row.median(server).as_secs_f64(),
                row.rate(server),
            );
            y += 18;
        }
    }
    svg.push_str("</svg>\n");
    svg
}
