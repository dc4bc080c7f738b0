//! The ratios as a picture: a bar for each row, on a scale where twice and half are equally far from one.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::figures::{Figures, Row, number};
use crate::arch::Arch;

const WIDTH: u32 = 1100;
const ROW_HEIGHT: u32 = 22;
const MARGIN: u32 = 70;
/// For the rows' names.
const NAMES_WIDTH: u32 = 560;
const AHEAD: RGBColor = RGBColor(46, 125, 50);
const BEHIND: RGBColor = RGBColor(198, 40, 40);

/// Writes the picture, an SVG file; there is none when no row has both sides.
pub fn write(path: &Path, figures: &Figures, arch: Arch) -> Result<()> {
    let rows: Vec<(&Row, f64)> =
        figures.rows().iter().filter_map(|row| Some((row, row.ratio()?))).filter(|(_, ratio)| *ratio > 0.0).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let height = MARGIN + ROW_HEIGHT * rows.len() as u32 + MARGIN / 2;
    let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    draw(&root, &rows, arch).map_err(|error| anyhow!("drawing {}: {error}", path.display()))
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw(root: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>, rows: &[(&Row, f64)], arch: Arch) -> Drawn {
    root.fill(&WHITE)?;
    let title = format!("Spore : Linux on {arch} (green: Spore is ahead)");
    root.draw(&Text::new(title, (16, 14), ("sans-serif", 24)))?;
    let powers = rows.iter().map(|(_, ratio)| ratio.log10());
    let (least, most) = powers.fold((-0.5_f64, 0.5_f64), |(least, most), power| (least.min(power), most.max(power)));
    let scale = Scale { least: least - 0.3, most: most + 0.3 };
    let bottom = (MARGIN + ROW_HEIGHT * rows.len() as u32) as i32;
    for power in (scale.least.ceil() as i32)..=(scale.most.floor() as i32) {
        let x = scale.x(f64::from(power));
        let style = if power == 0 { BLACK.stroke_width(2) } else { RGBColor(210, 210, 210).stroke_width(1) };
        root.draw(&PathElement::new([(x, MARGIN as i32 - 6), (x, bottom)], style))?;
        let label = TextStyle::from(("sans-serif", 15)).pos(Pos::new(HPos::Center, VPos::Bottom));
        root.draw(&Text::new(10_f64.powi(power).to_string(), (x, MARGIN as i32 - 8), label))?;
    }
    for (at, (row, ratio)) in rows.iter().enumerate() {
        bar(root, &scale, (MARGIN + ROW_HEIGHT * at as u32) as i32, row, *ratio)?;
    }
    root.present()?;
    Ok(())
}

fn bar(
    root: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    scale: &Scale,
    top: i32,
    row: &Row,
    ratio: f64,
) -> Drawn {
    let name = TextStyle::from(("sans-serif", 15)).pos(Pos::new(HPos::Right, VPos::Center));
    let middle = top + ROW_HEIGHT as i32 / 2;
    let words = format!("{}: {}", row.measure.group, row.measure.name);
    root.draw(&Text::new(words, (NAMES_WIDTH as i32 - 8, middle), name))?;
    let colour = if row.is_ahead() == Some(true) { AHEAD } else { BEHIND };
    let (one, end) = (scale.x(0.0), scale.x(ratio.log10()));
    let corners = [(one.min(end), top + 3), (one.max(end), top + ROW_HEIGHT as i32 - 3)];
    root.draw(&Rectangle::new(corners, colour.filled()))?;
    let outside = if end >= one { (HPos::Left, end + 4) } else { (HPos::Right, end - 4) };
    let value = TextStyle::from(("sans-serif", 14)).pos(Pos::new(outside.0, VPos::Center));
    root.draw(&Text::new(number(ratio), (outside.1, middle), value))?;
    Ok(())
}

/// Powers of ten to the picture's points.
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    fn x(&self, power: f64) -> i32 {
        let width = f64::from(WIDTH - NAMES_WIDTH - 16);
        NAMES_WIDTH as i32 + ((power - self.least) / (self.most - self.least) * width) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::super::contestant::Side;
    use super::super::figures::Measure;
    use super::*;

    #[test]
    fn a_picture_has_each_row_that_both_sides_have() {
        let path = std::env::temp_dir().join(format!("bench-chart-{}.svg", std::process::id()));
        let mut figures = Figures::default();
        write(&path, &figures, Arch::X86_64).unwrap();
        assert!(!path.exists());
        for (side, value) in [(Side::Spore, 1.0), (Side::Linux, 50.0)] {
            figures.add(Measure::less("image", "size", "image & all", "bytes"), side, value);
        }
        figures.add(Measure::less("rtt", "latency", "lonely", "ms"), Side::Linux, 1.0);
        write(&path, &figures, Arch::X86_64).unwrap();
        let picture = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(picture.contains("size: image &amp; all") && picture.contains("0.020"), "{picture}");
        assert!(!picture.contains("lonely"));
    }
}
