//! What an object store answers, read: listings, uploads, and faults in its own words and in ours.
//!
//! Promises: a fault says what failed, where, and what to do about it. May not know how requests are sent.

use super::settings::S3Settings;
use roxmltree::{Document, Node};

/// An answer as it came.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    pub(super) etag: Option<String>,
    pub(super) range: Option<String>,
    pub(super) length: Option<u64>,
    pub(super) region: Option<String>,
    pub(super) date: Option<String>,
    /// How often it was asked for.
    pub(super) tried: u32,
}

impl Answer {
    /// The store's word for a fault: `NoSuchKey` and so on; empty where it has none.
    pub(super) fn code(&self) -> String {
        self.fault().0
    }

    /// The store's word and its sentence.
    fn fault(&self) -> (String, String) {
        self.read(|root| (text(root, "Code").unwrap_or_default(), text(root, "Message").unwrap_or_default())).unwrap_or_default()
    }

    /// Reads a body of XML.
    pub(super) fn read<T>(&self, take: impl FnOnce(Node<'_, '_>) -> T) -> Option<T> {
        let text = std::str::from_utf8(&self.body).ok()?;
        let document = Document::parse(text.trim_start()).ok()?;
        Some(take(document.root_element()))
    }

    /// Whether it is a fault, though the status may be 200: a store that works long begins to answer before it knows.
    pub(super) fn failed(&self) -> bool {
        !(200..300).contains(&self.status) || self.read(|root| root.tag_name().name() == "Error") == Some(true)
    }

    /// Whether the same request may well do later.
    pub(super) fn passes(&self) -> bool {
        const PASSING: [&str; 6] =
            ["SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "ThrottlingException", "RequestLimitExceeded"];
        matches!(self.status, 408 | 429 | 500..=599) || self.failed() && PASSING.contains(&self.code().as_str())
    }

    /// The bytes that a part of an object has, from the first to the last, and of how many: of `bytes 0-9/100`.
    pub(super) fn range(&self) -> Option<(u64, u64, u64)> {
        let (range, of) = self.range.as_deref()?.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?, of.parse().ok()?))
    }

    /// What went wrong, and what to do.
    pub(super) fn explained(&self, settings: &S3Settings) -> String {
        let (code, message) = self.fault();
        let S3Settings { bucket, region, credentials, endpoint, .. } = settings;
        let at = endpoint.as_deref().unwrap_or("Amazon S3");
        let told = match code.as_str() {
            "SignatureDoesNotMatch" => {
                format!("the secret key is not that of key {}: check AWS_SECRET_ACCESS_KEY", credentials.key_id)
            }
            "InvalidAccessKeyId" => format!("{at} knows no key {}: check AWS_ACCESS_KEY_ID", credentials.key_id),
            "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
                "the key's time is over: get a new AWS_SESSION_TOKEN with its key".to_owned()
            }
            "NoSuchBucket" => format!("there is no bucket {bucket} at {at}: make it first, or check the name"),
            "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => format!(
                "key {} may not do this: it needs to list bucket {bucket}, to get, put and delete its objects, and to abort uploads",
                credentials.key_id
            ),
            "RequestTimeTooSkewed" | "RequestExpired" => format!(
                "the clocks of this machine and of {at} are too far apart{}: set this machine's (NTP)",
                self.date.as_ref().map_or_else(String::new, |date| format!(" (there it is {date})"))
            ),
            "AuthorizationHeaderMalformed" | "PermanentRedirect" | "TemporaryRedirect" | "IllegalLocationConstraintException" => {
                self.elsewhere(bucket, region)
            }
            "" if matches!(self.status, 301 | 302 | 307 | 308) => self.elsewhere(bucket, region),
            "" if self.status == 403 => format!("key {} was refused by {at}", credentials.key_id),
            "" => format!("{at} does not answer as an object store does: check AWS_ENDPOINT_URL"),
            _ => format!("{at} refused"),
        };
        let said = [code, message].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ");
        format!("{told} (status {}{}{said})", self.status, if said.is_empty() { "" } else { ", " })
    }

    fn elsewhere(&self, bucket: &str, region: &str) -> String {
        match self.region.clone().or_else(|| self.read(|root| text(root, "Region")).flatten()) {
            Some(there) => format!("bucket {bucket} lies in region {there}, not {region}: set AWS_REGION"),
            None => format!("bucket {bucket} lies in another region than {region}: set AWS_REGION"),
        }
    }
}

/// The text of the first element of that name.
pub(super) fn text(within: Node<'_, '_>, name: &str) -> Option<String> {
    let found = within.descendants().find(|node| node.tag_name().name() == name)?;
    Some(found.text().unwrap_or_default().to_owned())
}

/// A page of a listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) keys: Vec<String>,
    /// What to ask the next page with.
    pub(super) next: Option<String>,
}

/// Reads a page of a listing, if it is one.
pub(super) fn page(root: Node<'_, '_>) -> Option<Page> {
    if root.tag_name().name() != "ListBucketResult" {
        return None;
    }
    let contents = root.children().filter(|node| node.tag_name().name() == "Contents");
    let keys = contents.filter_map(|node| text(node, "Key")).collect();
    let more = text(root, "IsTruncated").as_deref() == Some("true");
    Some(Page { keys, next: text(root, "NextContinuationToken").filter(|_| more) })
}

/// Reads the uploads that nobody finished, key and id, if it is a list of them.
pub(super) fn uploads(root: Node<'_, '_>) -> Option<Vec<(String, String)>> {
    if root.tag_name().name() != "ListMultipartUploadsResult" {
        return None;
    }
    let uploads = root.children().filter(|node| node.tag_name().name() == "Upload");
    Some(uploads.filter_map(|node| Some((text(node, "Key")?, text(node, "UploadId")?))).collect())
}

/// The order to make an object of its parts.
pub(super) fn parts(etags: &[String]) -> String {
    let escaped = |etag: &str| etag.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let part =
        |(at, etag): (usize, &String)| format!("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", at + 1, escaped(etag));
    let parts: String = etags.iter().enumerate().map(part).collect();
    format!("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{parts}</CompleteMultipartUpload>")
}

#[cfg(test)]
mod tests {
    use super::{Answer, Page, page, parts, uploads};

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.as_bytes().to_vec(), ..Answer::default() }
    }

    #[test]
    fn listings_are_read() {
        let listing = |rest: &str| {
            let text = format!(
                "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{rest}</ListBucketResult>"
            );
            answer(200, &text).read(page).flatten()
        };
        let page = |keys: &[&str], next: Option<&str>| {
            Some(Page { keys: keys.iter().map(|&key| key.to_owned()).collect(), next: next.map(str::to_owned) })
        };
        assert_eq!(listing(""), page(&[], None));
        assert_eq!(
            listing(
                "<Prefix>x</Prefix><IsTruncated>true</IsTruncated><Contents><Key>a &amp; b</Key><Size>1</Size></Contents>\
                 <Contents><Owner><ID>1</ID></Owner><Key>ö</Key></Contents><NextContinuationToken>1/=</NextContinuationToken>"
            ),
            page(&["a & b", "ö"], Some("1/="))
        );
        assert_eq!(listing("<IsTruncated>false</IsTruncated><NextContinuationToken>1</NextContinuationToken>"), page(&[], None));
        for none in ["<html/>", "no XML", "", "<ListBucketResult>"] {
            assert!(answer(200, none).read(super::page).flatten().is_none(), "{none}");
            assert!(answer(200, none).read(uploads).flatten().is_none(), "{none}");
        }
        let found =
            "<ListMultipartUploadsResult><Upload><Key>k</Key><UploadId>1</UploadId></Upload></ListMultipartUploadsResult>";
        assert_eq!(answer(200, found).read(uploads).flatten(), Some(vec![("k".to_owned(), "1".to_owned())]));
        assert!(parts(&["\"a\"".to_owned()]).contains("<Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag></Part>"));
    }

    #[test]
    fn faults_are_told_apart() {
        let check = |status, body: &str, failed, passes| {
            let answer = answer(status, body);
            assert_eq!((answer.failed(), answer.passes()), (failed, passes), "{status} {body}");
        };
        let fault = |code: &str| format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message></Error>");
        check(200, "", false, false);
        check(204, "", false, false);
        // A store that had begun to answer before it failed.
        check(200, &format!("\n  {}", fault("InternalError")), true, true);
        check(200, &fault("InvalidPart"), true, false);
        check(400, &fault("RequestTimeout"), true, true);
        check(400, &fault("EntityTooSmall"), true, false);
        check(403, &fault("SignatureDoesNotMatch"), true, false);
        check(404, "", true, false);
        check(429, "", true, true);
        check(503, &fault("SlowDown"), true, true);
        check(500, "<html>", true, true);
    }

    #[test]
    fn a_range_is_read() {
        let range = |text: &str| Answer { range: Some(text.to_owned()), ..Answer::default() }.range();
        assert_eq!(range("bytes 0-9/100"), Some((0, 9, 100)));
        for wrong in ["bytes */0", "bytes 0-9/*", "0-9/100", "bytes 0/1", ""] {
            assert_eq!(range(wrong), None, "{wrong}");
        }
    }
}
