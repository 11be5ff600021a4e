//! What goes wrong with a request, as registries say it (distribution-spec 1.1, "Error Codes").

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use plugin_oci::documents::json;

/// The code of an error, beside its answer.
#[derive(Clone, Copy)]
pub(crate) struct Code(pub(crate) &'static str);

/// An answer that is no success.
#[derive(Debug)]
pub(crate) struct Fault {
    status: StatusCode,
    code: &'static str,
    message: String,
    headers: Vec<(HeaderName, String)>,
}

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident: $status:ident, $code:literal;)*) => {
        impl Fault {
            $($(#[$doc])* pub(crate) fn $name(message: impl Into<String>) -> Self {
                Self { status: StatusCode::$status, code: $code, message: message.into(), headers: Vec::new() }
            })*
        }
    };
}

faults! {
    blob_unknown: NOT_FOUND, "BLOB_UNKNOWN";
    upload_unknown: NOT_FOUND, "BLOB_UPLOAD_UNKNOWN";
    manifest_unknown: NOT_FOUND, "MANIFEST_UNKNOWN";
    name_unknown: NOT_FOUND, "NAME_UNKNOWN";
    nothing: NOT_FOUND, "NAME_INVALID";
    name_invalid: BAD_REQUEST, "NAME_INVALID";
    tag_invalid: BAD_REQUEST, "TAG_INVALID";
    digest_invalid: BAD_REQUEST, "DIGEST_INVALID";
    size_invalid: BAD_REQUEST, "SIZE_INVALID";
    upload_invalid: BAD_REQUEST, "BLOB_UPLOAD_INVALID";
    manifest_invalid: BAD_REQUEST, "MANIFEST_INVALID";
    /// A manifest names what is not in its repository.
    manifest_blob_unknown: NOT_FOUND, "MANIFEST_BLOB_UNKNOWN";
    page_invalid: BAD_REQUEST, "PAGINATION_NUMBER_INVALID";
    too_large: PAYLOAD_TOO_LARGE, "SIZE_INVALID";
    out_of_order: RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID";
    unauthorized: UNAUTHORIZED, "UNAUTHORIZED";
    denied: FORBIDDEN, "DENIED";
    busy: TOO_MANY_REQUESTS, "TOOMANYREQUESTS";
    range: RANGE_NOT_SATISFIABLE, "SIZE_INVALID";
    method: METHOD_NOT_ALLOWED, "UNSUPPORTED";
    immutable: CONFLICT, "DENIED";
    contended: CONFLICT, "DENIED";
    condition: PRECONDITION_FAILED, "DENIED";
    slow: REQUEST_TIMEOUT, "BLOB_UPLOAD_INVALID";
    internal: INTERNAL_SERVER_ERROR, "UNKNOWN";
    unavailable: SERVICE_UNAVAILABLE, "UNAVAILABLE";
    circle: LOOP_DETECTED, "UNAVAILABLE";
}

impl Fault {
    /// What it says.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Whether something is not there.
    pub(crate) fn is_absence(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    /// Whether something is not to be.
    pub(crate) fn is_denial(&self) -> bool {
        self.status == StatusCode::FORBIDDEN
    }

    /// With a header.
    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let body = json::to_canonical(&serde_json::json!({"errors": [{"code": self.code, "message": self.message}]}));
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        response.extensions_mut().insert(Code(self.code));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(self.headers.into_iter().filter_map(|(name, value)| Some((name, value.try_into().ok()?))));
        response
    }
}
