//! What a request is signed with: AWS's Signature Version 4, in headers, its body's digest among what is signed.
//!
//! Promises: the secret stands nowhere in what is made of it, and is never shown. May not know who sends what is signed.

use crate::place::hex;
use ring::hmac;
use std::fmt;

/// Who asks the store.
#[derive(Clone)]
pub struct Credentials {
    /// The name of the key.
    pub key_id: String,
    /// The key.
    pub secret: String,
    /// What a key that is given for a while is sent with.
    pub session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// What is signed of a request.
pub(super) struct Unsigned<'a> {
    pub(super) method: &'a str,
    /// Percent-encoded.
    pub(super) path: &'a str,
    /// As `query` makes it.
    pub(super) query: &'a str,
    /// The body's, in hexadecimal digits.
    pub(super) sha256: &'a str,
    /// Names in small letters, `host` among them.
    pub(super) headers: Vec<(&'static str, String)>,
}

/// All headers of a request, with its signature, at a moment in microseconds since 1970.
pub(super) fn signed(
    request: Unsigned<'_>,
    credentials: &Credentials,
    region: &str,
    moment_us: i64,
) -> Vec<(&'static str, String)> {
    let Unsigned { method, path, query, sha256, mut headers } = request;
    let (time, day) = moment(moment_us);
    headers.push(("x-amz-content-sha256", sha256.to_owned()));
    headers.push(("x-amz-date", time.clone()));
    headers.extend(credentials.session_token.iter().map(|token| ("x-amz-security-token", token.clone())));
    headers.sort_unstable();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{sha256}");
    let scope = format!("{day}/{region}/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", crate::place::sha256(canonical.as_bytes()));
    let mut key = format!("AWS4{}", credentials.secret).into_bytes();
    for part in [day.as_str(), region, "s3", "aws4_request"] {
        key = keyed(&key, part);
    }
    let (id, signature) = (&credentials.key_id, hex(&keyed(&key, &text)));
    let authorization = format!("AWS4-HMAC-SHA256 Credential={id}/{scope},SignedHeaders={names},Signature={signature}");
    headers.push(("authorization", authorization));
    headers
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// A moment as 20130524T000000Z, and its day.
fn moment(moment_us: i64) -> (String, String) {
    let name = crate::head::name(moment_us, 0);
    let time = name.split('-').next().unwrap_or_default();
    (time.to_owned(), time.split('T').next().unwrap_or_default().to_owned())
}

/// Percent-encoded as S3 has it: all but letters, digits and `-._~` of ASCII, and but for what else is to stay.
pub(super) fn encoded(text: &str, stays: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let letter = char::from(byte);
        if letter.is_ascii_alphanumeric() || "-._~".contains(letter) || stays.contains(letter) {
            out.push(letter);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A query as it is sent and signed: encoded, in order.
pub(super) fn query(pairs: &[(&str, String)]) -> String {
    let mut pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encoded(name, ""), encoded(value, ""))).collect();
    pairs.sort_unstable();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::{Credentials, Unsigned, encoded, query, signed};
    use crate::place::sha256;

    /// 2013-05-24 00:00:00 UTC, the moment of AWS's examples.
    const MOMENT_US: i64 = 1_369_353_600_000_000;
    const HOST: &str = "examplebucket.s3.amazonaws.com";

    fn check(request: Unsigned<'_>, signature: &str) {
        let credentials = Credentials {
            key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
        };
        let headers = signed(request, &credentials, "us-east-1", MOMENT_US);
        let (_, authorization) = headers.iter().find(|(name, _)| *name == "authorization").expect("it is signed");
        assert!(authorization.ends_with(&format!("Signature={signature}")), "{authorization}");
        assert!(!headers.iter().any(|(_, value)| value.contains(&credentials.secret)));
        assert!(!format!("{credentials:?}").contains(&credentials.secret));
    }

    /// "Authenticating Requests: Using the Authorization Header", the four examples of Amazon's S3 API Reference.
    #[test]
    fn the_published_examples_are_signed_as_published() {
        let host = || ("host", HOST.to_owned());
        let nothing = sha256(b"");
        let get = |path, query, headers| Unsigned { method: "GET", path, query, sha256: &nothing, headers };
        check(
            get("/test.txt", "", vec![host(), ("range", "bytes=0-9".to_owned())]),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        );
        check(
            Unsigned {
                method: "PUT",
                path: &format!("/{}", encoded("test$file.text", "/")),
                query: "",
                sha256: &sha256(b"Welcome to Amazon S3."),
                headers: vec![
                    ("date", "Fri, 24 May 2013 00:00:00 GMT".to_owned()),
                    host(),
                    ("x-amz-storage-class", "REDUCED_REDUNDANCY".to_owned()),
                ],
            },
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        );
        check(get("/", "lifecycle=", vec![host()]), "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
        let listing = query(&[("prefix", "J".to_owned()), ("max-keys", "2".to_owned())]);
        check(get("/", &listing, vec![host()]), "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
    }

    #[test]
    fn names_are_encoded() {
        assert_eq!(encoded("a b/ö+%~", "/"), "a%20b/%C3%B6%2B%25~");
        assert_eq!(query(&[("uploadId", "a/b=".to_owned()), ("partNumber", "1".to_owned())]), "partNumber=1&uploadId=a%2Fb%3D");
    }
}
