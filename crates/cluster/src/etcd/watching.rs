//! A watch's stream on etcd.
//!
//! Promises: where etcd has compacted away what was not told yet, or went back in time, "anything" may have
//! changed. May not know who watches.

use super::Shared;
use super::messages::{WatchCreateRequest, WatchRequest, WatchResponse};
use super::translate;
use crate::calls::{Calls, Judged, chain, grpc};
use crate::watching::Source;
use meta::{Hints, Revision};
use tokio_stream::StreamExt;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

impl Source for Shared {
    fn calls(&self) -> &Calls {
        &self.calls
    }

    fn judge(&self, status: &Status) -> Judged {
        translate::judge(status)
    }

    async fn events(&self, channel: &Channel, hints: &Hints, next: &mut Revision) -> Result<(), Status> {
        let (key, range_end) = self.names.ends(hints.range());
        let start_revision = next.0.cast_signed();
        let create = WatchCreateRequest { key, range_end, start_revision, progress_notify: true };
        // The question stays open: closing it would end the watch.
        let questions = tokio_stream::once(WatchRequest { create: Some(create) }).chain(tokio_stream::pending());
        let mut request = self.calls.with_token(Request::new(questions));
        // A member that lost its leader ends the stream instead of falling silent.
        request.metadata_mut().insert("hasleader", AsciiMetadataValue::from_static("true"));
        let mut grpc = grpc(channel);
        grpc.ready().await.map_err(|cause| Status::unavailable(chain(&cause)))?;
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        let answer = grpc.streaming(request, path, ProstCodec::<WatchRequest, WatchResponse>::default()).await?;
        let mut messages = answer.into_inner();
        while let Some(message) = messages.message().await? {
            if self.tell(&message, hints, next)? {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Shared {
    /// Hints at what a message tells. Whether it was the stream's last one.
    fn tell(&self, message: &WatchResponse, hints: &Hints, next: &mut Revision) -> Result<bool, Status> {
        let revision = translate::revision(message.header.as_ref());
        if message.canceled && message.compact_revision == 0 {
            return Err(Status::unavailable(format!("etcd ended the watch: {}", message.cancel_reason)));
        }
        if message.canceled {
            // What happened before is gone. The header may be empty.
            let compacted = Revision(message.compact_revision.max(0).cast_unsigned());
            hints.anything(revision.max(compacted));
            *next = Revision((revision.0 + 1).max(compacted.0));
            return Ok(true);
        }
        if message.created && revision.0 + 1 < next.0 {
            // It went back in time, or this member lags behind: what it tells from here on is news in either case.
            hints.anything(revision);
            *next = Revision(revision.0 + 1);
        }
        let rows: Vec<_> = message.events.iter().filter_map(|event| event.kv.as_ref()).collect();
        if let Some(last) = rows.iter().map(|row| Revision(row.mod_revision.cast_unsigned())).max() {
            match rows.iter().map(|row| self.names.key(&row.key)).collect::<Result<Vec<_>, _>>() {
                Ok(keys) => hints.keys(last, &keys),
                Err(_) => hints.anything(last),
            }
            // Not the header's: while it catches up, that one runs ahead of the events.
            *next = (*next).max(Revision(last.0 + 1));
        } else if !message.created {
            *next = (*next).max(Revision(revision.0 + 1));
        }
        Ok(false)
    }
}
