//! Proxy-Status (RFC 9209).

use std::fmt::Write;

use http::StatusCode;

use crate::fields::push_name;

macro_rules! errors {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $generated:literal;)*) => {
        /// What went wrong between this edge and the origin, or why it answered by itself (section 2.3).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ProxyError {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl ProxyError {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As it is written in the field.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Recommended for a response that the intermediary generates because of it. For errors in a request that is
            /// the status which says what was wrong with it; 400 stands for them here.
            pub fn status(self) -> StatusCode {
                let code: u16 = match self {
                    $(Self::$variant => $status,)*
                };
                StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY)
            }

            /// It can only be said of a response that the intermediary generated.
            pub fn is_only_generated(self) -> bool {
                match self {
                    $(Self::$variant => $generated,)*
                }
            }
        }
    };
}

errors! {
    DnsTimeout = "dns_timeout", 504, true;
    DnsError = "dns_error", 502, true;
    DestinationNotFound = "destination_not_found", 500, true;
    DestinationUnavailable = "destination_unavailable", 503, true;
    DestinationIpProhibited = "destination_ip_prohibited", 502, true;
    DestinationIpUnroutable = "destination_ip_unroutable", 502, true;
    ConnectionRefused = "connection_refused", 502, true;
    ConnectionTerminated = "connection_terminated", 502, false;
    ConnectionTimeout = "connection_timeout", 504, true;
    ConnectionReadTimeout = "connection_read_timeout", 504, false;
    ConnectionWriteTimeout = "connection_write_timeout", 504, false;
    ConnectionLimitReached = "connection_limit_reached", 503, true;
    TlsProtocolError = "tls_protocol_error", 502, false;
    TlsCertificateError = "tls_certificate_error", 502, true;
    TlsAlertReceived = "tls_alert_received", 502, false;
    HttpRequestError = "http_request_error", 400, true;
    HttpRequestDenied = "http_request_denied", 403, true;
    HttpResponseIncomplete = "http_response_incomplete", 502, false;
    HttpResponseHeaderSectionSize = "http_response_header_section_size", 502, false;
    HttpResponseHeaderSize = "http_response_header_size", 502, false;
    HttpResponseBodySize = "http_response_body_size", 502, false;
    HttpResponseTrailerSectionSize = "http_response_trailer_section_size", 502, false;
    HttpResponseTrailerSize = "http_response_trailer_size", 502, false;
    HttpResponseTransferCoding = "http_response_transfer_coding", 502, false;
    HttpResponseContentCoding = "http_response_content_coding", 502, false;
    HttpResponseTimeout = "http_response_timeout", 504, false;
    HttpUpgradeFailed = "http_upgrade_failed", 502, true;
    HttpProtocolError = "http_protocol_error", 502, false;
    ProxyInternalResponse = "proxy_internal_response", 200, true;
    ProxyInternalError = "proxy_internal_error", 500, true;
    ProxyConfigurationError = "proxy_configuration_error", 500, true;
    ProxyLoopDetected = "proxy_loop_detected", 502, true;
}

impl ProxyError {
    /// The error of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|error| error.name() == name)
    }
}

/// What this edge tells about how it got a response.
///
/// Not `next-hop`: an address at which the origin can be reached past the CDN is what an attacker looks for (section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyStatus {
    pub error: Option<ProxyError>,
    /// What the origin answered, where it did.
    pub received: Option<StatusCode>,
    /// The status that the edge generated for an error in the request.
    pub generated: Option<StatusCode>,
    /// More, in words.
    pub details: Option<&'static str>,
}

impl ProxyStatus {
    /// Something went wrong.
    pub fn of(error: ProxyError) -> Self {
        Self { error: Some(error), received: None, generated: None, details: None }
    }

    /// The origin answered with another status than the client gets.
    pub fn received(status: StatusCode) -> Self {
        Self { error: None, received: Some(status), generated: None, details: None }
    }
}

/// One member for the intermediary called `name`. `generated`: the response is this edge's own, not one that it had
/// stored; on such a response, an error that implies otherwise is told in `details` only.
pub(crate) fn member(name: &str, told: &ProxyStatus, generated: bool) -> String {
    let mut member = String::with_capacity(64);
    push_name(&mut member, name);
    let mut details = told.details;
    match told.error {
        Some(error) if generated || !error.is_only_generated() => {
            member.push_str("; error=");
            member.push_str(error.name());
            if let (ProxyError::HttpRequestError, Some(status)) = (error, told.generated) {
                let _ = write!(member, "; status-code={}", status.as_u16());
            }
        }
        Some(error) => _ = details.get_or_insert(error.name()),
        None => {}
    }
    if let Some(status) = told.received {
        let _ = write!(member, "; received-status={}", status.as_u16());
    }
    if let Some(details) = details {
        member.push_str("; details=");
        crate::fields::push_string(&mut member, details);
    }
    member
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_structured_fields() {
        let plain = ProxyStatus::of(ProxyError::ConnectionRefused);
        let incomplete = ProxyStatus::of(ProxyError::HttpResponseIncomplete);
        let cases = [
            ("cdn", plain, true, "cdn; error=connection_refused"),
            ("cdn", plain, false, "cdn; details=\"connection_refused\""),
            (
                "cdn",
                ProxyStatus { details: Some("a \"b\"\n"), ..plain },
                false,
                "cdn; details=\"a \\\"b\\\"\"",
            ),
            (
                "cdn",
                ProxyStatus::received(StatusCode::SERVICE_UNAVAILABLE),
                false,
                "cdn; received-status=503",
            ),
            ("cdn", incomplete, false, "cdn; error=http_response_incomplete"),
            (
                "an edge",
                ProxyStatus { received: Some(StatusCode::OK), details: Some("Repr-Digest"), ..incomplete },
                true,
                "\"an edge\"; error=http_response_incomplete; received-status=200; details=\"Repr-Digest\"",
            ),
            (
                "cdn",
                ProxyStatus {
                    generated: Some(StatusCode::METHOD_NOT_ALLOWED),
                    ..ProxyStatus::of(ProxyError::HttpRequestError)
                },
                true,
                "cdn; error=http_request_error; status-code=405",
            ),
            (
                "cdn",
                ProxyStatus { generated: Some(StatusCode::OK), ..plain },
                true,
                "cdn; error=connection_refused",
            ),
        ];
        for (name, told, generated, expected) in cases {
            let found = member(name, &told, generated);
            assert_eq!(found, expected);
            let list = sfv::Parser::new(&found)
                .parse::<sfv::List>()
                .unwrap_or_else(|error| panic!("{found}: {error}"));
            assert_eq!(list.len(), 1);
        }
    }

    #[test]
    fn every_error_is_a_token_with_a_status() {
        for error in ProxyError::ALL {
            assert_eq!(ProxyError::from_name(error.name()), Some(*error));
            let found = member("cdn", &ProxyStatus::of(*error), true);
            let list = sfv::Parser::new(&found).parse::<sfv::List>().unwrap();
            let sfv::ListEntry::Item(item) = &list[0] else { panic!("{found}") };
            let told =
                item.params.get("error").and_then(|value| value.as_token()).map(|token| token.as_str());
            assert_eq!(told, Some(error.name()));
            let recommended = error.status().as_u16();
            assert!(
                matches!(recommended, 200 | 400 | 403 | 500 | 502 | 503 | 504),
                "{error:?}: {recommended}"
            );
        }
        assert_eq!(ProxyError::ALL.len(), 32);
        assert_eq!(ProxyError::from_name("reader_overrun"), None);
    }
}
