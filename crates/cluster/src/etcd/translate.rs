//! Our words and etcd's: keys under the prefix, swaps as transactions, statuses as errors.
//!
//! Promises: what etcd answers is checked before it is believed; a status is only taken for "not
//! changed" where etcd's source says so (`rpctypes/error.go` of 3.4). May not know how a call is sent.

use super::messages::{
    Compare, DeleteRangeRequest, Header, KeyValue, Operand, PutRequest, RangeRequest, Request, RequestOp, ResponseOp, TxnRequest,
};
use crate::calls::{Judged, chain};
use bytes::Bytes;
use meta::{Entry, Error, Is, Key, LeaseId, MetaId, Range, Revision, Swap, Write};
use tonic::{Code, Status};

/// The key of the identity, behind the prefix: no `Key`, since those have no control characters.
const IDENTITY: &[u8] = b"\0meta";

/// `Compare.target` of etcd.
const TARGET_CREATE: i32 = 1;
const TARGET_MOD: i32 = 2;
const TARGET_VALUE: i32 = 3;

/// How our keys are called in etcd.
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub fn new(prefix: &str) -> Result<Names, Error> {
        if prefix.is_empty() || prefix.len() > 256 {
            return Err(Error::Open(format!("the prefix of keys in etcd has 1 to 256 bytes, not {}", prefix.len())));
        }
        Ok(Names { prefix: prefix.to_owned() })
    }

    fn name(&self, text: &str) -> Vec<u8> {
        [self.prefix.as_bytes(), text.as_bytes()].concat()
    }

    /// A key of ours from one of etcd's.
    pub fn key(&self, name: &[u8]) -> Result<Key, Error> {
        let text = name.strip_prefix(self.prefix.as_bytes()).and_then(|text| std::str::from_utf8(text).ok());
        text.ok_or_else(|| odd("a key that is not under the prefix, or no text"))
            .and_then(|text| Key::new(text).map_err(|_| odd("a key that breaks our limits")))
    }

    fn identity_name(&self) -> Vec<u8> {
        [self.prefix.as_bytes(), IDENTITY].concat()
    }

    fn one(&self, name: Vec<u8>) -> RequestOp {
        operation(Request::Range(RangeRequest { key: name, range_end: Vec::new(), limit: 1 }))
    }

    pub fn read_identity(&self) -> TxnRequest {
        TxnRequest { compare: Vec::new(), success: vec![self.one(self.identity_name())], failure: Vec::new() }
    }

    pub fn make_identity(&self, id: MetaId) -> TxnRequest {
        let name = self.identity_name();
        let absent = compare(name.clone(), TARGET_CREATE, Operand::CreateRevision(0));
        let put = PutRequest { key: name, value: Bytes::copy_from_slice(&id.0.to_le_bytes()), lease: 0 };
        TxnRequest { compare: vec![absent], success: vec![operation(Request::Put(put))], failure: Vec::new() }
    }

    /// The same, where this is still the meta; else the identity is read, first of all.
    pub fn guarded(&self, id: MetaId, mut request: TxnRequest) -> TxnRequest {
        let value = Bytes::copy_from_slice(&id.0.to_le_bytes());
        request.compare.insert(0, compare(self.identity_name(), TARGET_VALUE, Operand::Value(value)));
        request.failure.insert(0, self.one(self.identity_name()));
        request
    }

    pub fn get(&self, keys: &[Key]) -> TxnRequest {
        let success = keys.iter().map(|key| self.one(self.name(key.text()))).collect();
        TxnRequest { success, ..TxnRequest::default() }
    }

    /// A range that is not empty.
    pub fn range(&self, range: &Range, limit: usize) -> TxnRequest {
        let (key, range_end) = self.ends(range);
        let range = RangeRequest { key, range_end, limit: limit as i64 };
        TxnRequest { success: vec![operation(Request::Range(range))], ..TxnRequest::default() }
    }

    /// A range's ends; the identity lies in none.
    pub fn ends(&self, range: &Range) -> (Vec<u8>, Vec<u8>) {
        (self.name(range.from().max("\u{1}")), self.name(range.to()))
    }

    pub fn swap(&self, swap: &Swap) -> TxnRequest {
        let condition = |(key, is): &(Key, Is)| {
            let (target, operand) = match is {
                Is::Absent => (TARGET_CREATE, Operand::CreateRevision(0)),
                // etcd takes 0 for "absent", which no revision of ours means; nothing has a negative one.
                Is::Modified(revision) => {
                    let number = i64::try_from(revision.0).ok().filter(|number| *number > 0).unwrap_or(-1);
                    (TARGET_MOD, Operand::ModRevision(number))
                }
                Is::Value(value) => (TARGET_VALUE, Operand::Value(value.clone())),
            };
            compare(self.name(key.text()), target, operand)
        };
        let write = |(key, write): &(Key, Write)| {
            let key = self.name(key.text());
            operation(match write {
                Write::Put(value, lease) => {
                    let lease = lease.map_or(0, |lease| lease.0.cast_signed());
                    Request::Put(PutRequest { key, value: value.clone(), lease })
                }
                Write::Delete => Request::DeleteRange(DeleteRangeRequest { key }),
            })
        };
        TxnRequest {
            compare: swap.conditions.iter().map(condition).collect(),
            success: swap.writes.iter().map(write).collect(),
            failure: swap.conditions.iter().map(|(key, _)| self.one(self.name(key.text()))).collect(),
        }
    }

    /// Answers for one key each.
    pub fn one_each(&self, answers: &[ResponseOp], keys: &[Key]) -> Result<Vec<Option<Entry>>, Error> {
        if answers.len() != keys.len() {
            return Err(odd("another number of answers than of questions"));
        }
        let one = |(answer, key): (&ResponseOp, &Key)| {
            let range = answer.range.as_ref().ok_or_else(|| odd("no range where one was asked for"))?;
            let entry = range.kvs.first().map(|row| self.entry(row)).transpose()?;
            match entry {
                Some(entry) if entry.key != *key => Err(odd("another key than was asked for")),
                entry => Ok(entry),
            }
        };
        answers.iter().zip(keys).map(one).collect()
    }

    /// The answer to a range.
    pub fn page(&self, answer: Option<&ResponseOp>) -> Result<(Vec<Entry>, bool), Error> {
        let range = answer.and_then(|answer| answer.range.as_ref()).ok_or_else(|| odd("no range where one was asked for"))?;
        let entries = range.kvs.iter().map(|row| self.entry(row)).collect::<Result<_, _>>()?;
        Ok((entries, range.more))
    }

    fn entry(&self, row: &KeyValue) -> Result<Entry, Error> {
        let lease = (row.lease != 0).then_some(LeaseId(row.lease.cast_unsigned()));
        let modified = Revision(row.mod_revision.cast_unsigned());
        Ok(Entry { key: self.key(&row.key)?, value: row.value.clone(), modified, lease })
    }
}

fn operation(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn compare(key: Vec<u8>, target: i32, operand: Operand) -> Compare {
    Compare { target, key, operand: Some(operand) }
}

/// The store's revision.
pub(super) fn revision(header: Option<&Header>) -> Revision {
    Revision(header.map_or(0, |header| header.revision.max(0).cast_unsigned()))
}

/// Which meta it is, by the answer to the question for the identity.
pub(super) fn identity(answer: Option<&ResponseOp>) -> Result<Option<MetaId>, Error> {
    let range = answer.and_then(|answer| answer.range.as_ref()).ok_or_else(|| odd("no identity where it was asked for"))?;
    let Some(row) = range.kvs.first() else { return Ok(None) };
    let bytes = <[u8; 16]>::try_from(&row.value[..]).map_err(|_| odd("an identity that is not 16 bytes"))?;
    Ok(Some(MetaId(u128::from_le_bytes(bytes))))
}

fn odd(what: &str) -> Error {
    Error::Damaged(format!("etcd answers {what}"))
}

/// What a status means.
pub(super) fn judge(status: &Status) -> Judged {
    let text = status.message();
    let own = text.strip_prefix("etcdserver: ");
    match (status.code(), own) {
        (Code::NotFound, Some("requested lease not found")) => Judged::Final(Error::LeaseGone(LeaseId(0))),
        (Code::ResourceExhausted, Some("mvcc: database space exceeded")) => Judged::Final(Error::Full(text.to_owned())),
        // Refused before it was proposed.
        (Code::ResourceExhausted, Some("too many requests")) => Judged::NotMade(text.to_owned()),
        (Code::Unauthenticated, _) | (Code::InvalidArgument, Some("revision of auth store is old")) => Judged::Token,
        (Code::PermissionDenied, _)
        | (Code::InvalidArgument, Some("authentication failed, invalid user ID or password" | "user name is empty"))
        | (Code::FailedPrecondition, Some("authentication is not enabled")) => Judged::Final(Error::Denied(text.to_owned())),
        (Code::InvalidArgument, Some(_)) | (Code::Unimplemented, _) => Judged::Final(Error::Invalid(text.to_owned())),
        _ => Judged::Open(chain(status)),
    }
}
