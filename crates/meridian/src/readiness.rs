//! What a node tells whoever started it: the ready file (`ready_file`), and systemd's notify protocol (sd_notify) where
//! NOTIFY_SOCKET names a socket.
//!
//! Promises: the file is written whole once every door takes connections, and a stale one goes first; READY=1 is sent after
//! it, STOPPING=1 as the stop begins; while opening goes on the service's start is given more time again and again (a replay
//! takes as long as the log is long), and the stop is given once what it may take at most. A manager that does not listen
//! holds nothing up. May not know what is opened.

use crate::Error;
use crate::config::Config;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr as Name, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often more time is asked for while the store is opened.
const EXTENDED_EVERY: Duration = Duration::from_secs(10);
/// How much is asked for: some may be late on a busy machine.
const EXTENSION: Duration = Duration::from_secs(60);
/// What a stop may take beside `STOP_PARTS`: cancelled statements, slices that change hands, stores that are closed.
const STOP_SPARE: Duration = Duration::from_secs(60);
/// How often a stop may take `stop_max`: statements, the archive, those of other schedulers that read here, buffers.
const STOP_PARTS: u32 = 4;
/// How long a message may wait for room in the manager's queue.
const SEND_WAIT: Duration = Duration::from_secs(1);

/// Tells whoever started us that all doors are open, and where; and that it ends.
pub struct Ready {
    file: Option<PathBuf>,
    manager: Option<Manager>,
}

impl Ready {
    /// Forgets an old file. Opening may take long: whether the file can be made is known before, and the manager hears
    /// what goes on.
    ///
    /// # Errors
    /// `Error::File`.
    pub fn begin(config: &Config, status: &str) -> Result<Ready, Error> {
        if let Some(path) = &config.ready_file {
            forget(path);
            write_beside(path, "")?;
        }
        let socket = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let manager = socket.and_then(|name| match Manager::open(&name, status, EXTENDED_EVERY) {
            Ok(manager) => Some(manager),
            Err(cause) => {
                tracing::warn!(%cause, socket = %name.display(), "NOTIFY_SOCKET can't be used; the service manager hears nothing");
                None
            }
        });
        Ok(Ready { file: config.ready_file.clone(), manager })
    }

    /// All doors are open: the file has their addresses, and the manager is told.
    ///
    /// # Errors
    /// `Error::File`.
    pub fn write(&mut self, doors: &[(&str, Option<SocketAddr>)]) -> Result<(), Error> {
        let open: Vec<String> = doors.iter().filter_map(|(door, at)| at.map(|at| format!("{door}={at}"))).collect();
        if let Some(path) = &self.file {
            let text = open.iter().fold(String::new(), |text, door| text + door + "\n");
            let beside = write_beside(path, &text)?;
            rename(&beside, path)?;
        }
        if let Some(manager) = &mut self.manager {
            manager.ready(&format!("takes connections: {}", open.join(" ")));
        }
        Ok(())
    }

    /// The stop begins; a part of it takes this long at most.
    pub fn stopping(&self, stop_max: Duration) {
        if let Some(manager) = &self.manager {
            manager.stopping(stop_max * STOP_PARTS + STOP_SPARE);
        }
    }

    /// Forgets the file.
    pub fn forget(&self) {
        if let Some(path) = &self.file {
            forget(path);
        }
    }
}

/// The service manager's end of NOTIFY_SOCKET.
struct Manager {
    socket: UnixDatagram,
    opening: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Manager {
    /// A name that begins with @ is in the abstract namespace.
    fn open(name: &OsStr, status: &str, every: Duration) -> std::io::Result<Manager> {
        let bytes = name.as_bytes();
        let address = match bytes.split_first() {
            Some((b'@', rest)) => Name::from_abstract_name(rest)?,
            _ => Name::from_pathname(Path::new(name))?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_WAIT))?;
        socket.connect_addr(&address)?;
        tell(&socket, &format!("STATUS={status}"));
        let theirs = socket.try_clone()?;
        let (ended, opened) = mpsc::channel();
        let extend = move || {
            loop {
                tell(&theirs, &extension(EXTENSION));
                if opened.recv_timeout(every) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("readiness".to_owned()).spawn(extend)?;
        Ok(Manager { socket, opening: Some((ended, thread)) })
    }

    fn ready(&mut self, status: &str) {
        self.end_opening();
        tell(&self.socket, &format!("READY=1\nSTATUS={status}"));
    }

    fn stopping(&self, limit: Duration) {
        tell(
            &self.socket,
            &format!("STOPPING=1\nSTATUS=stopping: running statements end, buffers are flushed\n{}", extension(limit)),
        );
    }

    fn end_opening(&mut self) {
        if let Some((ended, thread)) = self.opening.take() {
            drop(ended);
            // It can't fail: it only sends.
            drop(thread.join());
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.end_opening();
    }
}

fn extension(limit: Duration) -> String {
    format!("EXTEND_TIMEOUT_USEC={}", limit.as_micros())
}

fn tell(socket: &UnixDatagram, message: &str) {
    if let Err(cause) = socket.send(message.as_bytes()) {
        tracing::debug!(%cause, message, "the service manager does not hear");
    }
}

/// Writes what will be the ready file under a name beside it.
#[expect(clippy::disallowed_methods, reason = "a file for whoever started us, not of the store")]
fn write_beside(path: &Path, text: &str) -> Result<PathBuf, Error> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    std::fs::write(&beside, text).map_err(|cause| Error::File { path: path.to_path_buf(), cause })?;
    Ok(beside)
}

#[expect(clippy::disallowed_methods, reason = "a file for whoever started us, not of the store")]
fn rename(beside: &Path, path: &Path) -> Result<(), Error> {
    std::fs::rename(beside, path).map_err(|cause| Error::File { path: path.to_path_buf(), cause })
}

#[expect(clippy::disallowed_methods, reason = "a file that we wrote, not of the store")]
fn forget(path: &Path) {
    // Somebody else may have removed it: it is theirs as much as ours.
    let _ = std::fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(listener: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let length = listener.recv(&mut bytes).expect("something is heard in time");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    fn listen(address: &Name) -> UnixDatagram {
        let listener = UnixDatagram::bind_addr(address).expect("a socket can be bound");
        listener.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
        listener
    }

    #[test]
    fn a_manager_hears_of_the_opening_of_readiness_and_of_the_stop() {
        let path = std::env::temp_dir().join(format!("meridian-notify-{}", std::process::id()));
        let abstract_name = format!("meridian-notify-{}", std::process::id());
        for (name, address) in [
            (path.display().to_string(), Name::from_pathname(&path).unwrap()),
            (format!("@{abstract_name}"), Name::from_abstract_name(&abstract_name).unwrap()),
        ] {
            let listener = listen(&address);
            let mut manager = Manager::open(OsStr::new(&name), "opening", Duration::from_millis(1)).unwrap();
            assert_eq!(heard(&listener), "STATUS=opening");
            for _ in 0..3 {
                assert_eq!(heard(&listener), "EXTEND_TIMEOUT_USEC=60000000");
            }
            // What waits in the queue is taken out, else it would be full and nothing more be heard.
            let reader = std::thread::Builder::new().spawn(move || {
                loop {
                    let message = heard(&listener);
                    if !message.starts_with("EXTEND") {
                        return (message, heard(&listener));
                    }
                }
            });
            manager.ready("open: pg=127.0.0.1:1");
            manager.stopping(Duration::from_secs(90));
            let (ready, stopping) = reader.unwrap().join().unwrap();
            assert_eq!(ready, "READY=1\nSTATUS=open: pg=127.0.0.1:1");
            assert!(stopping.starts_with("STOPPING=1\n") && stopping.ends_with("\nEXTEND_TIMEOUT_USEC=90000000"), "{stopping}");
        }
        forget(&path);
    }

    #[test]
    fn a_manager_that_is_not_there_is_no_harm() {
        assert!(Manager::open(OsStr::new("/nowhere/at/all"), "opening", EXTENDED_EVERY).is_err());
    }
}
