//! Who sends a request, and whether a browser sends it for somebody else.
//!
//! Credentials are `Authorization: Basic`, `Bearer` or InfluxDB's `Token` (`Token USER:PASSWORD` as its 1.8, or a token of
//! `POST /token`), or InfluxDB's parameters `u` and `p`.
//! Promises: where a password is needed, it is checked as at the Flight door; a page of another site that a browser shows
//! can't have the browser write or ask here, not even where everybody is trusted.

use super::Door;
use super::reply::Fault;
use super::request::{Parameters, header};
use crate::auth::Call;
use crate::counters::add;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use hyper::{StatusCode, Uri};
use std::net::{IpAddr, SocketAddr};

/// The user that a request without a name is of, where everybody is trusted.
const TRUSTED: &str = "meridian";

/// The user who asks.
pub(crate) async fn user(door: &Door, headers: &HeaderMap, parameters: &Parameters, peer: SocketAddr) -> Result<String, Fault> {
    let credentials = credentials(headers, parameters);
    let call = Call { door: "http", header: credentials.as_deref(), trusted: door.trusted, from: Some(peer.ip()) };
    let user = door.shared.authenticator.user(call).await;
    let user = user.map_err(|refused| {
        add(&door.shared.counters.logins_refused, 1);
        tracing::warn!(%peer, message = %refused, "HTTP request refused");
        Fault::new(StatusCode::UNAUTHORIZED, "28P01", refused.to_string())
    })?;
    Ok(if user.is_empty() { TRUSTED.to_owned() } else { user })
}

/// Whether a request says nothing of who asks, at a door that would believe any name. There to ask for one keeps nobody out.
pub(crate) fn may_be_anybody(door: &Door, headers: &HeaderMap, parameters: &Parameters) -> bool {
    door.trusted && credentials(headers, parameters).is_none()
}

/// What proves who it is, as a header of Basic or Bearer.
fn credentials(headers: &HeaderMap, parameters: &Parameters) -> Option<String> {
    let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    if let Some(given) = header(headers, AUTHORIZATION.as_str()) {
        let given = given.trim();
        let (scheme, rest) = given.split_once(' ').unwrap_or((given, ""));
        return Some(match (scheme.to_ascii_lowercase().as_str(), rest.trim()) {
            ("token", pair) if pair.contains(':') => basic(pair),
            ("token" | "bearer", token) => format!("Bearer {token}"),
            ("basic", coded) => format!("Basic {coded}"),
            _ => given.to_owned(),
        });
    }
    let user = parameters.get("u")?;
    Some(basic(&format!("{user}:{}", parameters.get("p").unwrap_or_default())))
}

/// Refuses what a browser sends in the name of a page of another site.
pub(crate) fn check_site(headers: &HeaderMap, uri: &Uri, trusted: bool) -> Result<(), Fault> {
    let refused = |message: &str| Err(Fault::new(StatusCode::FORBIDDEN, "28000", message));
    let host = header(headers, HOST.as_str()).or_else(|| uri.authority().map(|authority| authority.as_str()));
    if let Some(origin) = headers.get(ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        let site = origin.split_once("://").map_or("", |(_, site)| site);
        if host.is_none_or(|host| !site.eq_ignore_ascii_case(host)) {
            return refused("pages of other sites may not use this door");
        }
    }
    if let Some("cross-site" | "same-site") = header(headers, "sec-fetch-site") {
        return refused("pages of other sites may not use this door");
    }
    // A name that somebody else's name server leads here would make their page one of this site.
    if trusted && host.is_some_and(|host| !is_local(host)) {
        return refused("where whoever comes is trusted, this door is asked for by its address or as localhost");
    }
    Ok(())
}

fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_all_kinds_are_basic_or_bearer() {
        let check = |header: Option<&str>, query: &str, expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(AUTHORIZATION, header.parse().unwrap());
            }
            assert_eq!(credentials(&headers, &Parameters::of(Some(query))).as_deref(), expected, "{header:?} {query}");
        };
        check(None, "", None);
        check(None, "u=a&p=b%20c", Some("Basic YTpiIGM="));
        check(None, "u=a", Some("Basic YTo="));
        check(Some("Token a:b"), "u=x&p=y", Some("Basic YTpi"));
        check(Some("Token abc"), "", Some("Bearer abc"));
        check(Some("bearer abc"), "", Some("Bearer abc"));
        check(Some("basic YTpi"), "", Some("Basic YTpi"));
        check(Some("Digest x"), "", Some("Digest x"));
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let check = |fields: &[(&'static str, &str)], trusted: bool| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, value.parse().unwrap());
            }
            check_site(&headers, &Uri::from_static("/query"), trusted).is_ok()
        };
        assert!(check(&[], true));
        for host in ["127.0.0.1:8086", "[::1]:8086", "[::1]", "localhost", "LOCALHOST:1", "10.0.0.1"] {
            assert!(check(&[("host", host)], true), "{host}");
        }
        for host in ["evil.example", "evil.example:8086", "127.0.0.1.evil.example", "localhost.evil.example:80"] {
            assert!(!check(&[("host", host)], true), "{host}");
            assert!(check(&[("host", host)], false), "{host}");
        }
        assert!(check(&[("host", "a:1"), ("origin", "http://a:1")], false));
        assert!(!check(&[("host", "a:1"), ("origin", "http://a:2")], false));
        assert!(!check(&[("host", "a:1"), ("origin", "null")], false));
        assert!(!check(&[("host", "localhost"), ("sec-fetch-site", "cross-site")], true));
        assert!(check(&[("host", "localhost"), ("sec-fetch-site", "none")], true));
    }
}
