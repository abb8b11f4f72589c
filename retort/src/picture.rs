//! Grey images as text: two rows of pixels in each line of characters.

/// Shades from dark to light.
const SHADES: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];

/// A picture of a `height` x `width` image, one character for two pixels above each other.
pub(crate) fn text(pixels: &[u8], height: usize, width: usize) -> Vec<String> {
    let shade = |value: u32| SHADES[(value as usize * (SHADES.len() - 1) + 127) / 255];
    let pixel = |y: usize, x: usize| pixels.get(y * width + x).map_or(0, |value| u32::from(*value));
    let line = |y: usize| (0..width).map(|x| shade((pixel(y, x) + pixel(y + 1, x)) / 2)).collect();
    (0..height).step_by(2).map(line).collect()
}

/// Planes of colours as one of grey: their mean.
pub(crate) fn grey(planes: &[u8], plane: usize) -> Vec<u8> {
    let channels = (planes.len() / plane.max(1)).max(1);
    let mean = |at: usize| {
        let sum: usize = planes.iter().skip(at).step_by(plane.max(1)).map(|value| usize::from(*value)).sum();
        (sum / channels) as u8
    };
    (0..plane).map(mean).collect()
}

/// Several pictures beside each other, each with a caption below.
pub(crate) fn gallery(pictures: &[(Vec<String>, String)], columns: usize) -> String {
    let mut out = String::new();
    for row in pictures.chunks(columns.max(1)) {
        let width =
            row.iter().flat_map(|(lines, caption)| lines.iter().chain([caption])).map(|l| l.chars().count()).max();
        let width = width.unwrap_or(0) + 2;
        let height = row.iter().map(|(lines, _)| lines.len()).max().unwrap_or(0);
        for line in 0..height {
            let cells = row.iter().map(|(lines, _)| pad(lines.get(line).map_or("", String::as_str), width));
            out.push_str(cells.collect::<String>().trim_end());
            out.push('\n');
        }
        out.push_str(row.iter().map(|(_, caption)| pad(caption, width)).collect::<String>().trim_end());
        out.push_str("\n\n");
    }
    out
}

fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.chars().count())))
}
