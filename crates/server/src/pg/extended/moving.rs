//! MOVE over a portal of the wire, as asyncpg's `Cursor.forward` sends it: its next rows are passed over.

use super::super::connection::Connection;
use super::super::error::Report;
use super::super::job::Event;
use super::super::parameters;
use super::super::socket::End;
use super::{Portal, Running, State, no_portal, settle_portal};
use query::StatementClass;

impl Connection {
    /// Passes over so many rows of a portal; what is left of it goes to who fetches next.
    pub(in crate::pg) async fn move_portal(&mut self, name: &[u8], rows_max: usize) -> Result<Result<(), Report>, End> {
        settle_portal(&mut self.portals, name);
        let Some(mut portal) = self.portals.remove(name) else { return Ok(Err(no_portal(name))) };
        if portal.statement.prepared.class() != StatementClass::Read {
            self.portals.insert(name.into(), portal);
            return Ok(Err(Report::error("55000", "the portal is of no query, and has no rows to be moved over")));
        }
        let passed = self.pass_over(&mut portal, rows_max).await?;
        Ok(passed.map(|passed| {
            self.portals.insert(name.into(), portal);
            self.done(Some(&format!("MOVE {passed}")), 0);
        }))
    }

    async fn pass_over(&mut self, portal: &mut Portal, rows_max: usize) -> Result<Result<usize, Report>, End> {
        let mut running = match std::mem::replace(&mut portal.state, State::Ended) {
            State::Running(running) => running,
            State::Ended => return Ok(Ok(0)),
            State::Bound => {
                let (mut values, zone) = (Vec::new(), self.session.time_zone());
                let types = portal.statement.prepared.parameters();
                if let Err(report) = parameters::decode(types, &portal.formats, &portal.values, zone, &mut values) {
                    return Ok(Err(report));
                }
                let job = self.start(portal.statement.prepared.clone(), values, portal.result_formats.clone());
                Box::new(Running { job, rows: (Vec::new(), Vec::new(), 0) })
            }
        };
        let mut passed = 0;
        loop {
            let (_, ends, at) = &mut running.rows;
            let step = (ends.len() - *at).min(rows_max - passed);
            (*at, passed) = (*at + step, passed + step);
            if passed == rows_max {
                portal.state = State::Running(running);
                return Ok(Ok(passed));
            }
            match self.next_event(&mut running.job).await? {
                Event::Rows { bytes, ends } => running.rows = (bytes, ends, 0),
                Event::Done(_) => return Ok(Ok(passed)),
                Event::Failed(report) => return Ok(Err(report)),
                // A query has none of the others but its columns.
                _ => {}
            }
        }
    }
}
