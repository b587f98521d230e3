//! COPY FROM STDIN: what the client sends goes, in pieces, to a task on the query runtime that
//! parses and commits it.
//!
//! Promises: at most `PIECES_WAITING` pieces of about `PIECE_BYTES` wait, then the client is not
//! read on; a client that fails, disconnects or cancels leaves nothing behind of what was not
//! committed before (the engine commits the whole of it at its end, or says otherwise).

use super::connection::Connection;
use super::error::Report;
use super::frame::Frame;
use super::report_of;
use super::socket::End;
use crate::shared::Stage;
use query::CopyIn;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Data is handed on in pieces of about so many bytes.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait to be parsed.
const PIECES_WAITING: usize = 8;

/// A piece of data, or the end of it.
enum Piece {
    Data(Vec<u8>),
    End,
}

type Parsing = JoinHandle<Result<String, Report>>;

impl Connection {
    /// Takes the client's data. The answer is the command tag.
    pub(super) async fn copy_in(&mut self, copy: CopyIn) -> Result<Result<String, Report>, End> {
        self.tell_notices();
        self.wire.output.copy_response(b'G', copy.columns(), copy.is_binary());
        // A request that came while it began is heard as one that comes later is.
        let mut cancels = self.session.cancels();
        if copy.is_cancelled() {
            return Ok(Err(Report::cancelled()));
        }
        self.flush().await?;
        let (sender, pieces) = mpsc::channel(PIECES_WAITING);
        let mut parsing: Parsing = self.shared.query_runtime.spawn(parse(copy, pieces));
        let taken = self.take(&sender, &mut parsing, &mut cancels).await;
        // Without its end the parser gives up, and nothing of the data is kept.
        drop(sender);
        match taken {
            Ok(Taken::All) => Ok(joined(self.finish(parsing).await?)),
            Ok(Taken::Answered(answer)) => Ok(answer),
            Ok(Taken::Refused(report)) => {
                // It may wait, for its share of rows a second.
                self.session.cancel();
                let _gave_up = parsing.await;
                Ok(Err(report))
            }
            Err(end) => {
                self.session.cancel();
                let _gave_up = parsing.await;
                Err(end)
            }
        }
    }

    async fn take(
        &mut self,
        sender: &mpsc::Sender<Piece>,
        parsing: &mut Parsing,
        cancels: &mut watch::Receiver<u64>,
    ) -> Result<Taken, End> {
        let mut data = Vec::new();
        loop {
            while let Some(frame) = self.wire.buffered()? {
                let ended = self.take_frame(&frame, &mut data)?;
                self.wire.consume(&frame);
                if let Some(Err(report)) = ended {
                    return Ok(Taken::Refused(report));
                }
                let full = data.len() >= PIECE_BYTES || (ended.is_some() && !data.is_empty());
                if full && let Some(answer) = self.send(sender, Piece::Data(std::mem::take(&mut data)), parsing).await? {
                    return Ok(Taken::Answered(answer));
                }
                if ended.is_some() {
                    return Ok(self.send(sender, Piece::End, parsing).await?.map_or(Taken::All, Taken::Answered));
                }
            }
            tokio::select! {
                biased;
                _ = self.ended.wait_for(|ended| *ended) => return Err(End::Fatal(Report::terminated())),
                answer = &mut *parsing => return Ok(Taken::Answered(joined(answer))),
                _ = cancels.changed() => return Ok(Taken::Refused(Report::cancelled())),
                filled = self.wire.fill() => filled?,
                changed = self.stop.changed() => {
                    if changed.is_err() || *self.stop.borrow() >= Stage::Cancelling {
                        return Err(End::Fatal(Report::stopping()));
                    }
                }
            }
        }
    }

    /// Hands a piece on; Some where the parser answered instead of taking it. It may wait long, for a writer's share of rows a
    /// second, so whoever goes away or is ended meanwhile is heard.
    async fn send(
        &mut self,
        sender: &mpsc::Sender<Piece>,
        piece: Piece,
        parsing: &mut Parsing,
    ) -> Result<Option<Result<String, Report>>, End> {
        let place = tokio::select! {
            biased;
            place = sender.reserve() => place,
            _ = self.ended.wait_for(|ended| *ended) => return Err(End::Fatal(Report::terminated())),
            end = self.wire.watch() => return Err(end),
        };
        match place {
            Ok(place) => {
                place.send(piece);
                Ok(None)
            }
            // Whoever ends a session ends it before it cancels what runs there.
            Err(_) if *self.ended.borrow() => Err(End::Fatal(Report::terminated())),
            Err(_) => Ok(Some(joined(parsing.await))),
        }
    }

    /// Takes one message's data; Some at the end of the data, an error where the client gives up.
    fn take_frame(&self, frame: &Frame, data: &mut Vec<u8>) -> Result<Option<Result<(), Report>>, End> {
        let body = &self.wire.input[frame.body.clone()];
        match frame.kind {
            b'd' => data.extend_from_slice(body),
            b'c' => return Ok(Some(Ok(()))),
            b'f' => {
                let reason = String::from_utf8_lossy(body.strip_suffix(b"\0").unwrap_or(body)).into_owned();
                return Ok(Some(Err(Report::error("57014", format!("COPY from stdin failed: {reason}")))));
            }
            // Clients send Sync and Flush along with the statement; PostgreSQL ignores them here too.
            b'H' | b'S' => {}
            b'X' => return Err(End::Terminated),
            other => {
                let shown = std::ascii::escape_default(other);
                let message = format!("unexpected message type '{shown}' during COPY from stdin");
                return Err(End::Fatal(Report::fatal("08P01", message)));
            }
        }
        Ok(None)
    }

    /// Waits for the commit. The client may go away meanwhile; the commit is then still waited for
    /// nowhere, and stands or not as the engine decides.
    async fn finish(&mut self, mut parsing: Parsing) -> Result<Result<Result<String, Report>, tokio::task::JoinError>, End> {
        tokio::select! {
            biased;
            answer = &mut parsing => Ok(answer),
            end = self.wire.watch() => Err(end),
        }
    }
}

enum Taken {
    /// All data was handed on.
    All,
    /// The parser answered before the data ended: a bad row.
    Answered(Result<String, Report>),
    /// The client gave up.
    Refused(Report),
}

fn joined(answer: Result<Result<String, Report>, tokio::task::JoinError>) -> Result<String, Report> {
    answer.unwrap_or_else(|_| Err(super::job::internal()))
}

async fn parse(mut copy: CopyIn, mut pieces: mpsc::Receiver<Piece>) -> Result<String, Report> {
    while let Some(piece) = pieces.recv().await {
        match piece {
            Piece::Data(data) => copy.push(&data).await.map_err(|error| report_of(&error))?,
            Piece::End => return copy.finish().await.map(|completion| completion.tag).map_err(|error| report_of(&error)),
        }
    }
    // The connection gave up; the client has been told why.
    Err(Report::cancelled())
}
