//! Places labels next to the marks of a chart so that none covers another; what finds no room is left out.
//!
//! It knows boxes only.

use super::axis::tenth;

/// Average advance of a character over the font size in the system's sans-serif fonts, rounded up.
const ADVANCE: f64 = 0.58;

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Area {
    /// The box around a circle.
    pub(super) fn around(x: f64, y: f64, radius: f64) -> Self {
        Self { left: x - radius, top: y - radius, right: x + radius, bottom: y + radius }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }

    fn contains(&self, other: &Self) -> bool {
        self.left <= other.left && self.top <= other.top && other.right <= self.right && other.bottom <= self.bottom
    }
}

/// A text with the baseline of its left end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Label {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) text: String,
    pub(super) class: &'static str,
}

/// Gives out places; earlier calls win.
pub(super) struct Placer {
    /// Where labels may go.
    pub(super) room: Area,
    /// Pixels of the font.
    pub(super) font: f64,
    /// What is taken.
    pub(super) taken: Vec<Area>,
}

impl Placer {
    /// A label beside the circle at (`x`, `y`), if one of the eight places around it is free.
    pub(super) fn beside(
        &mut self,
        (x, y, radius): (f64, f64, f64),
        text: String,
        class: &'static str,
    ) -> Option<Label> {
        let (width, height) = (text.chars().count() as f64 * self.font * ADVANCE, self.font * 1.1);
        let (gap, near) = (radius + 4.0, radius * 0.7 + 3.0);
        let corners = [
            (x + gap, y - height / 2.0),
            (x + near, y - near - height),
            (x + near, y + near),
            (x - gap - width, y - height / 2.0),
            (x - near - width, y - near - height),
            (x - near - width, y + near),
            (x - width / 2.0, y - gap - height),
            (x - width / 2.0, y + gap),
        ];
        let areas = corners.map(|(left, top)| Area { left, top, right: left + width, bottom: top + height });
        let free = areas
            .into_iter()
            .find(|area| self.room.contains(area) && !self.taken.iter().any(|taken| taken.overlaps(area)))?;
        self.taken.push(free);
        Some(Label { x: tenth(free.left), y: tenth(free.bottom - height * 0.24), text, class })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_never_overlap_and_stay_inside() {
        let room = Area { left: 0.0, top: 0.0, right: 200.0, bottom: 100.0 };
        let mut placer = Placer { room, font: 12.0, taken: Vec::new() };
        let placed: Vec<_> =
            (0..50).filter_map(|n| placer.beside((100.0, 50.0, 5.0), format!("#{n} resnet"), "")).collect();
        assert!((3..20).contains(&placed.len()), "{}", placed.len());
        for (at, area) in placer.taken.iter().enumerate() {
            assert!(room.contains(area));
            assert!(placer.taken[..at].iter().all(|other| !other.overlaps(area)));
        }
    }
}
