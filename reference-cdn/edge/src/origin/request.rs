//! A request on its way to an origin.

use http::header::{CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderValue, TRAILER, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, StatusCode, Uri};

use super::content::{OutboundContent, Progress};
use crate::client::RequestBody;

/// A request to the origin.
pub struct Outbound<'a, F, I> {
    pub method: Method,
    pub path_and_query: Option<PathAndQuery>,
    /// Makes the end-to-end fields; asked once more if the request is sent again.
    pub fields: F,
    pub content: Option<RequestBody>,
    /// The client waits for 100 (Continue).
    pub expects_continue: bool,
    /// Called with each interim response.
    pub interim: I,
    /// The request's key in the store: what decides which parent it goes to.
    pub key: &'a str,
}

/// What every form of the request has.
pub struct Head {
    /// End-to-end fields, without Host.
    fields: HeaderMap,
    pub host: HeaderValue,
    expects_continue: bool,
}

impl Head {
    /// `own_host` is the origin's; the client's takes its place when `keep_host`.
    pub fn new<F, I>(outbound: &Outbound<'_, F, I>, own_host: &HeaderValue, keep_host: bool) -> Self
    where
        F: Fn() -> HeaderMap,
    {
        let mut fields = (outbound.fields)();
        let host = fields.remove(HOST).filter(|_| keep_host).unwrap_or_else(|| own_host.clone());
        for field in [CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT] {
            fields.remove(field);
        }
        Self { fields, host, expects_continue: outbound.expects_continue }
    }

    /// The host that it is for, without its port; `None` when Host is not `host [":" port]`.
    pub fn authority(&self) -> Option<Authority> {
        Authority::try_from(self.host.as_bytes()).ok()
    }

    fn frame(&mut self, content: Option<&RequestBody>, chunked: bool) {
        let Some(content) = content else {
            self.fields.remove(TRAILER);
            return;
        };
        match content.length() {
            Some(length) => {
                self.fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
            None if chunked => {
                self.fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            None => {}
        }
        if self.expects_continue {
            self.fields.insert(EXPECT, HeaderValue::from_static("100-continue"));
        }
    }

    /// As HTTP/1.1 has it.
    pub fn into_h1<F, I>(
        mut self,
        outbound: &Outbound<'_, F, I>,
        content: Option<RequestBody>,
        progress: &Progress,
    ) -> http::Request<OutboundContent>
    where
        I: Fn(StatusCode, &HeaderMap) + Clone + Send + Sync + 'static,
    {
        self.frame(content.as_ref(), true);
        // Host goes first (RFC 9110 section 7.2).
        let mut fields = HeaderMap::with_capacity(self.fields.len() + 1);
        fields.insert(HOST, self.host);
        let mut last = None;
        for (name, value) in self.fields {
            last = name.or(last);
            if let Some(name) = &last {
                fields.append(name.clone(), value);
            }
        }
        let target = outbound.path_and_query.clone().unwrap_or(PathAndQuery::from_static("/"));
        let mut request = http::Request::new(OutboundContent::new(content, progress.clone()));
        *request.method_mut() = outbound.method.clone();
        *request.uri_mut() = Uri::from(target);
        *request.headers_mut() = fields;
        let (interim, progress) = (outbound.interim.clone(), progress.clone());
        hyper::ext::on_informational(&mut request, move |response| {
            progress.interim();
            interim(response.status(), response.headers());
        });
        request
    }

    /// As HTTP/2 has it: Host is `:authority` (RFC 9113 section 8.3.1). Content goes separately.
    ///
    /// # Errors
    /// When Host is no authority.
    pub fn into_h2<F, I>(
        mut self,
        outbound: &Outbound<'_, F, I>,
        content: Option<&RequestBody>,
        scheme: Scheme,
    ) -> Result<http::Request<()>, http::Error> {
        self.frame(content, false);
        let target = outbound.path_and_query.clone().unwrap_or(PathAndQuery::from_static("/"));
        let uri =
            Uri::builder().scheme(scheme).authority(self.host.as_bytes()).path_and_query(target).build()?;
        let mut request = http::Request::new(());
        *request.method_mut() = outbound.method.clone();
        *request.uri_mut() = uri;
        *request.version_mut() = http::Version::HTTP_2;
        *request.headers_mut() = self.fields;
        Ok(request)
    }
}
