//! The side of a data node that answers whoever backs the fleet up.
//!
//! May not know what is held.

use super::holding::{Keeper, Places};
use super::messages::{CLOSE, COPY, CUT, END, HOLD, LOOK, OPEN, Order, SERVICE, Told};
use crate::data::DataNode;
use crate::door::{Answer, Answering};
use std::path::PathBuf;
use std::sync::Arc;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use world::Disk;

/// A data node's service: to be added to the door of its process.
#[derive(Clone)]
pub struct BackupService(Arc<Keeper>);

impl BackupService {
    /// Of a node, whose own directory is `home`.
    #[must_use]
    pub fn new(node: Arc<DataNode>, places: Places, home: (Arc<dyn Disk>, PathBuf)) -> BackupService {
        BackupService(Keeper::new(node, places, home))
    }
}

/// One kind of order.
#[derive(Clone, Copy)]
enum What {
    Hold,
    Close,
    Cut,
    Open,
    Copy,
    Look,
    End,
}

struct Carrying(Arc<Keeper>, What);

impl Answering for BackupService {
    const NAME: &'static str = SERVICE;

    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        let what = match request.uri().path() {
            HOLD => What::Hold,
            CLOSE => What::Close,
            CUT => What::Cut,
            OPEN => What::Open,
            COPY => What::Copy,
            LOOK => What::Look,
            END => What::End,
            _ => return Status::unimplemented("there is no such method").into_http(),
        };
        Grpc::new(ProstCodec::<Told, Order>::default()).unary(Carrying(self.0, what), request).await
    }
}

impl UnaryService<Order> for Carrying {
    type Response = Told;
    type Future = Answer<Told>;

    fn call(&mut self, request: Request<Order>) -> Self::Future {
        let (keeper, what, order) = (Arc::clone(&self.0), self.1, request.into_inner());
        Box::pin(async move {
            let told = match what {
                What::Hold => keeper.hold(order).await,
                What::Close => keeper.close(&order),
                What::Cut => keeper.cut(order).await,
                What::Open => keeper.open(&order),
                What::Copy => keeper.copy(order),
                What::Look => keeper.look(&order),
                What::End => keeper.end(&order).await,
            };
            told.map(Response::new)
        })
    }
}
