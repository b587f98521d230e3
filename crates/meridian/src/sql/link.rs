//! The shell's connection: made, asked, interrupted, made anew.
//!
//! Promises: Ctrl-C while the server works is a request to cancel to the server, and the answer is waited for; the third
//! one gives the connection up. A password is asked for on the terminal alone, without echo.

use crate::Error;
use crate::client::{Defaults, Event, Refused, Report, Row, Target, Wire};
use crate::progress::now;
use crate::terminal::ask_secret;
use futures::FutureExt;
use std::io;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The name that the node shows of this client.
const NAME: &str = "meridian sql";
/// Ctrl-C that often gives the connection up.
const PATIENCE: u32 = 3;
/// Messages at hand between two looks for Ctrl-C.
const LOOK_EVERY: u32 = 256;

/// When to ask for a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// Where the server wants one and none is known.
    Needed,
    /// Before connecting.
    Always,
    /// Never.
    Never,
}

/// A connection.
pub struct Link {
    runtime: Runtime,
    interrupts: Signal,
    /// Where it goes.
    pub target: Target,
    /// The session; None where it was lost.
    pub wire: Option<Wire>,
    /// How often Ctrl-C was given since the last statement was sent.
    pub interrupted: u32,
    looked: u32,
    /// What came while nobody waited for it.
    early: Option<Event>,
}

/// A whole answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The rows.
    pub rows: Vec<Row>,
}

/// Why there is no answer.
pub enum Trouble {
    /// The server says so.
    Report(Box<Report>),
    /// The connection is gone.
    Lost(io::Error),
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// `Error::Node` and what reading the target gives.
    pub fn connect(mut target: Target, secret: Secret) -> Result<Link, Error> {
        let starting = Error::system("starting the network thread");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(starting)?;
        if secret == Secret::Always {
            ask_password(&mut target)?;
        }
        let wire = loop {
            match runtime.block_on(Wire::connect(&target, NAME)) {
                Ok(wire) => break wire,
                Err(Refused::Password) if secret == Secret::Never => {
                    return Err(Error::Node { doing: "connecting", problem: "the server asks for a password (-w)".to_owned() });
                }
                Err(Refused::Password) => ask_password(&mut target)?,
                Err(Refused::Other(error)) => return Err(error),
            }
        };
        // From here on Ctrl-C cancels statements; before, it ends the process.
        let listening = {
            let _inside = runtime.enter();
            signal(SignalKind::interrupt())
        };
        let interrupts = listening.map_err(Error::system("listening for Ctrl-C"))?;
        Ok(Link { runtime, interrupts, target, wire: Some(wire), interrupted: 0, looked: 0, early: None })
    }

    /// Connects again after the connection was lost.
    ///
    /// # Errors
    /// `Error::Node`.
    pub fn again(&mut self) -> Result<(), Error> {
        match self.runtime.block_on(Wire::connect(&self.target, NAME)) {
            Ok(wire) => {
                self.wire = Some(wire);
                Ok(())
            }
            Err(Refused::Password) => {
                Err(Error::Node { doing: "connecting", problem: "the server asks for a password".to_owned() })
            }
            Err(Refused::Other(error)) => Err(error),
        }
    }

    /// Sends statements.
    ///
    /// # Errors
    /// Those of the network.
    pub fn send(&mut self, sql: &str) -> io::Result<()> {
        // What was typed before is about what was under way before.
        while self.interrupts.recv().now_or_never().is_some() {}
        self.interrupted = 0;
        let wire = self.wire.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        self.runtime.block_on(wire.ask(sql))
    }

    /// Sends data of a COPY.
    ///
    /// # Errors
    /// Those of the network.
    pub fn send_copy(&mut self, data: &[u8]) -> io::Result<()> {
        let wire = self.wire.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        self.runtime.block_on(wire.send_copy(data))
    }

    /// Ends the data of a COPY, or gives them up.
    ///
    /// # Errors
    /// Those of the network.
    pub fn end_copy(&mut self, given_up: Option<&str>) -> io::Result<()> {
        let wire = self.wire.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        self.runtime.block_on(wire.end_copy(given_up))
    }

    /// What the server sends next; Ctrl-C cancels meanwhile.
    ///
    /// # Errors
    /// Those of the network, and where Ctrl-C was given too often.
    pub fn next(&mut self) -> io::Result<Event> {
        if let Some(event) = self.early.take() {
            return Ok(event);
        }
        self.looked += 1;
        if self.looked.is_multiple_of(LOOK_EVERY) && self.interrupts.recv().now_or_never().is_some() {
            self.cancel()?;
        }
        loop {
            let wire = self.wire.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            if let Some(event) = wire.at_hand()? {
                return Ok(event);
            }
            let interrupts = &mut self.interrupts;
            let next = self.runtime.block_on(async {
                tokio::select! {
                    event = wire.next() => Some(event),
                    _ = interrupts.recv() => None,
                }
            });
            match next {
                Some(event) => return event,
                None => self.cancel()?,
            }
        }
    }

    /// Whether the server said something while data were sent to it: it waits for no more of them.
    ///
    /// # Errors
    /// Those of the network.
    pub fn has_answer(&mut self) -> io::Result<bool> {
        if let Some(early) = &self.early {
            return Ok(!matches!(early, Event::Notice(_) | Event::Notified(..)));
        }
        let wire = self.wire.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        // A future that waits for the network must be made within the runtime.
        let _inside = self.runtime.enter();
        match wire.next().now_or_never() {
            None => Ok(false),
            Some(event) => {
                self.early = Some(event?);
                Ok(!matches!(self.early, Some(Event::Notice(_) | Event::Notified(..))))
            }
        }
    }

    /// Whether Ctrl-C was given since this was last asked, without waiting.
    pub fn is_interrupted(&mut self) -> bool {
        if self.interrupts.recv().now_or_never().is_some() {
            self.interrupted += 1;
        }
        self.interrupted > 0
    }

    /// Waits so long, or until Ctrl-C; whether that came.
    pub fn wait(&mut self, span: Duration) -> bool {
        let interrupts = &mut self.interrupts;
        self.runtime.block_on(async {
            tokio::select! {
                _ = interrupts.recv() => true,
                () = tokio::time::sleep(span) => false,
            }
        })
    }

    /// Asks the server to end what it does for us. The request goes its own way: the answer comes over the session.
    ///
    /// # Errors
    /// Where that was asked too often.
    pub fn cancel(&mut self) -> io::Result<()> {
        self.interrupted += 1;
        if self.interrupted >= PATIENCE {
            self.wire = None;
            return Err(io::Error::new(io::ErrorKind::Interrupted, "given up: the server did not end the statement"));
        }
        let wire = self.wire.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let canceller = wire.canceller(&self.target);
        self.runtime.spawn(async move {
            if let Err(cause) = canceller.cancel().await {
                eprintln!("the request to cancel could not be sent: {cause}");
            }
        });
        Ok(())
    }

    /// Runs a statement of the shell's own, and gives the last result; within `limit`, where there is one.
    ///
    /// # Errors
    /// `Trouble`.
    pub fn ask(&mut self, sql: &str, limit: Option<Duration>) -> Result<Answer, Trouble> {
        self.send(sql).map_err(Trouble::Lost)?;
        let started = now();
        let (mut answer, mut failed, mut asked) = (Answer::default(), None, false);
        loop {
            let event = match limit.filter(|_| !asked) {
                None => self.next(),
                Some(limit) => match self.next_within(limit.saturating_sub(started.elapsed())) {
                    Some(event) => event,
                    None => {
                        asked = true;
                        self.cancel().map_err(Trouble::Lost)?;
                        continue;
                    }
                },
            };
            match event.map_err(Trouble::Lost)? {
                Event::Columns(_) => answer = Answer::default(),
                Event::Row(row) => answer.rows.push(row),
                Event::Failed(report) => failed = Some(report),
                Event::CopyIn => self.end_copy(Some("no data here")).map_err(Trouble::Lost)?,
                Event::Ready => break,
                _ => {}
            }
        }
        failed.map_or(Ok(answer), |report| Err(Trouble::Report(Box::new(report))))
    }

    /// What comes within that time.
    fn next_within(&mut self, limit: Duration) -> Option<io::Result<Event>> {
        let wire = self.wire.as_mut()?;
        // Within the runtime, for its clock is asked at once.
        self.runtime.block_on(async { tokio::time::timeout(limit, wire.next()).await }).ok()
    }

    /// Says good-bye to the server.
    pub fn end(&mut self) {
        if let Some(mut wire) = self.wire.take() {
            self.runtime.block_on(wire.end());
        }
    }
}

fn ask_password(target: &mut Target) -> Result<(), Error> {
    let user = target.config.get_user().unwrap_or("meridian").to_owned();
    match ask_secret(&format!("Password for user {user}: ")) {
        Ok(Some(password)) => {
            target.config.password(password);
            Ok(())
        }
        Ok(None) => Err(Error::Interrupted),
        Err(cause) => {
            let problem = format!(
                "the server asks for a password, and there is no terminal to ask for it ({cause}); give PGPASSWORD or a password file"
            );
            Err(Error::Node { doing: "connecting", problem })
        }
    }
}

/// Where to connect to: a URL, `key=value` pairs, or the name of a database, over flags, over the environment.
///
/// # Errors
/// `Error::Usage`.
pub fn target(to: Option<&str>, flags: &Defaults) -> Result<Target, Error> {
    let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let port = match environment("PGPORT") {
        Some(text) if flags.port.is_none() => {
            Some(text.parse().map_err(|_| Error::Usage(format!("PGPORT={text} is no port: give 1 to 65535")))?)
        }
        _ => None,
    };
    let to = to.unwrap_or_default();
    let is_name = !to.is_empty() && !to.contains('=') && !to.contains("://");
    let name = is_name.then(|| to.to_owned());
    let defaults = Defaults {
        host: flags.host.clone().or_else(|| environment("PGHOST")).or_else(|| Some("127.0.0.1".to_owned())),
        port: flags.port.or(port),
        user: flags.user.clone().or_else(|| environment("PGUSER")),
        database: name
            .or_else(|| flags.database.clone())
            .or_else(|| environment("PGDATABASE"))
            .or_else(|| Some("meridian".to_owned())),
    };
    let mut target = Target::read_with(if is_name { "" } else { to }, &defaults, &environment)?;
    let zone = environment("PGTZ").map(|zone| format!("-c TimeZone={}", zone.replace('\\', "\\\\").replace(' ', "\\ ")));
    let options: Vec<String> = environment("PGOPTIONS").into_iter().chain(zone).collect();
    if target.config.get_options().is_none() && !options.is_empty() {
        target.config.options(options.join(" "));
    }
    if let (None, Some(text)) = (target.config.get_connect_timeout(), environment("PGCONNECT_TIMEOUT")) {
        let seconds: u64 = text.parse().map_err(|_| Error::Usage(format!("PGCONNECT_TIMEOUT={text} is no number of seconds")))?;
        if seconds > 0 {
            target.config.connect_timeout(Duration::from_secs(seconds));
        }
    }
    Ok(target)
}
