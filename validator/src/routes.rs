//! Every route that the API's description has, by what is around it: the router surrounds them, the description lists
//! them. A route that stands here can't lack its description.
//!
//! Pages for people are no part of it, but for the pictures among them. It does not know what a route answers.

use crate::app::App;
use crate::{api, hub, pages};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

/// The described routes.
pub(crate) struct Routes {
    /// Those that answer within a time.
    pub(crate) timed: OpenApiRouter<App>,
    /// Those that bring models, at a pace of their own.
    pub(crate) uploads: OpenApiRouter<App>,
}

impl Routes {
    /// All of them.
    pub(crate) fn all() -> Self {
        Self {
            timed: api::routes().merge(pages::pictures()).merge(hub::routes()),
            uploads: api::uploads::routes().merge(hub::uploads()),
        }
    }

    /// What they say of themselves.
    pub(crate) fn description(self) -> OpenApi {
        self.timed.merge(self.uploads).into_openapi()
    }
}
