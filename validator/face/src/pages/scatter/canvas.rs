//! Where a chart is shown, and what follows for its measures.

/// Where a chart is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Canvas {
    /// In a page on a desk.
    Wide,
    /// In a page on a phone.
    Narrow,
    /// As a file of its own, which brings its own style.
    Alone,
}

/// Width, height, font and circle sizes of a canvas.
pub(super) struct Format {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) font: f64,
    pub(super) radius_max: f64,
    pub(super) ticks: [usize; 2],
}

impl Canvas {
    pub(super) fn format(self) -> Format {
        match self {
            Self::Wide | Self::Alone => {
                Format { width: 1000.0, height: 540.0, font: 13.0, radius_max: 24.0, ticks: [10, 8] }
            }
            Self::Narrow => Format { width: 380.0, height: 420.0, font: 12.0, radius_max: 16.0, ticks: [5, 6] },
        }
    }

    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Wide => "scatter-wide",
            Self::Narrow => "scatter-narrow",
            Self::Alone => "scatter",
        }
    }

    /// Left ends of the legend's entries: champion, Pareto line, size, hollow ones.
    pub(super) fn legend_places(self) -> [f64; 4] {
        match self {
            Self::Narrow => [60.0, 152.0, 256.0, 256.0],
            Self::Wide | Self::Alone => [60.0, 172.0, 300.0, 440.0],
        }
    }
}
