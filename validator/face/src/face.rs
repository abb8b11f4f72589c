//! What everything that answers a request is given: the service, and what the face alone keeps in memory.
//!
//! It knows its parts and none of their work. Whoever needs the service alone takes an [`App`].

pub mod feed;
pub mod pages;

use crate::outside::Outside;
use axum::extract::FromRef;
use feed::Feed;
use hub::Drafts;
use pages::PageCache;
use service::app::App;
use std::ops::Deref;
use std::sync::Arc;

/// The parts of a validator's face, shared by everything that answers requests.
#[derive(Clone)]
pub struct Face(Arc<Parts>);

/// What a [`Face`] is made of.
pub struct Parts {
    /// What it is the face of.
    app: App,
    /// Where listeners are told what happens.
    pub feed: Feed,
    /// Writes to addresses that strangers name.
    pub outside: Outside,
    /// Pages that are kept until something happens.
    pub pages: PageCache,
    /// Packages that come file by file and aren't whole yet.
    pub drafts: Drafts,
}

impl Face {
    /// The face of `app`.
    ///
    /// # Errors
    /// When the client of webhooks can't be made.
    pub fn new(app: App) -> Result<Self, reqwest::Error> {
        let outside = Outside::new(app.config.webhooks_private)?;
        let (feed, pages, drafts) = (Feed::default(), PageCache::default(), Drafts::default());
        Ok(Self(Arc::new(Parts { app, feed, outside, pages, drafts })))
    }
}

impl Deref for Face {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Deref for Parts {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

impl FromRef<Face> for App {
    fn from_ref(face: &Face) -> Self {
        face.app.clone()
    }
}

impl FromRef<Face> for Drafts {
    fn from_ref(face: &Face) -> Self {
        face.drafts.clone()
    }
}
