//! Every route that the API's description has, by what is around it: the router surrounds them, the description lists
//! them. A route that stands here can't lack its description.
//!
//! Pages for people are no part of it, but for the pictures among them. It does not know what a route answers.

use crate::api::Description;
use crate::face::Face;
use crate::{api, pages};
use std::sync::LazyLock;
use store::ready::Ready;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

/// The description of all routes, put together and written down once.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| api::document(Routes::all().description()));
static DESCRIPTION: LazyLock<Ready> = LazyLock::new(|| Ready::new(document()));

/// The description of the API as `/openapi.json` serves it: OpenAPI 3.1 in JSON.
pub fn document() -> &'static str {
    &DOCUMENT
}

/// The same, for those who show it.
pub fn description() -> Description {
    Description(&DESCRIPTION)
}

/// The described routes.
pub struct Routes {
    /// Those that answer within a time.
    pub timed: OpenApiRouter<Face>,
    /// Those that bring models or wait for work, at a pace of their own.
    pub uploads: OpenApiRouter<Face>,
}

impl Routes {
    /// All of them.
    pub fn all() -> Self {
        Self {
            timed: api::routes().merge(pages::pictures()).merge(hub::routes()),
            uploads: api::uploads::routes().merge(hub::uploads()).merge(api::fleet::routes()),
        }
    }

    /// What they say of themselves.
    fn description(self) -> OpenApi {
        self.timed.merge(self.uploads).into_openapi()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::{docs, sample};
    use serde_json::Value;

    #[test]
    fn every_operation_and_every_type_of_the_document_is_on_the_page() {
        let written = document();
        let document: Value = serde_json::from_str(written).unwrap();
        let page = docs::page(written.as_bytes());
        sample::assert_markup(&page);
        let mut operations = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            assert!(
                page.contains(&path.replace('{', "&#123;").replace('}', "&#125;")) || page.contains(path),
                "{path}"
            );
            operations += item.as_object().unwrap().len();
        }
        assert_eq!(page.matches("class=\"operation\"").count(), operations);
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(page.contains(&format!("id=\"{name}\"")), "{name}");
        }
    }
}
