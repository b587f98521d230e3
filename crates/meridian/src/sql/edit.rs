//! A statement in the user's own editor.
//!
//! Promises: the file is the user's alone (0600), and is removed afterwards.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// The text as the editor left it; of a file of the user's, or of one made for that.
///
/// # Errors
/// What went wrong, in words.
#[expect(clippy::disallowed_methods, reason = "a file of the user's, not of the store's")]
pub fn edited(file: Option<String>, text: &str) -> Result<String, String> {
    let named =
        ["PSQL_EDITOR", "VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let editor = named.unwrap_or_else(|| "vi".to_owned());
    let own = file.is_none();
    let path = file.map_or_else(|| std::env::temp_dir().join(format!("meridian-{}.sql", std::process::id())), PathBuf::from);
    if own {
        let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        made.and_then(|mut file| writeln!(file, "{text}")).map_err(|cause| format!("{}: {cause}", path.display()))?;
    }
    let command = format!("{editor} '{}'", path.display().to_string().replace('\'', "'\\''"));
    let status = super::paper::shell(command).status();
    let read = std::fs::read_to_string(&path);
    if own {
        let _ = std::fs::remove_file(&path);
    }
    match status {
        Ok(status) if status.success() => read.map_err(|cause| format!("{}: {cause}", path.display())),
        Ok(status) => Err(format!("the editor ended with {status}; nothing was run")),
        Err(cause) => Err(format!("the editor can't be started: {cause}; EDITOR names another")),
    }
}
