//! Ctrl-C.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use fastweight::generate::{Cancel, Session};

/// Ctrl-C ends what the watched session does; once more, before that was heard, it ends the program.
pub(crate) struct Interrupt(Arc<Mutex<Cancel>>);

impl Interrupt {
    /// Takes Ctrl-C over. May be called once.
    pub(crate) fn new() -> anyhow::Result<Interrupt> {
        let watched = Arc::new(Mutex::new(Cancel::default()));
        let interrupt = Interrupt(watched.clone());
        ctrlc::set_handler(move || {
            let cancel = watched.lock().unwrap_or_else(PoisonError::into_inner);
            if cancel.is_cancelled() {
                std::process::exit(i32::from(crate::INTERRUPTED));
            }
            cancel.cancel();
        })
        .context("Ctrl-C")?;
        Ok(interrupt)
    }

    /// Whether Ctrl-C was pressed while no session was watched.
    pub(crate) fn heard(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_cancelled()
    }

    /// Watches this session from here on, and no other.
    pub(crate) fn watch(&self, session: &Session) {
        let cancel = session.cancel_handle();
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.is_cancelled() {
            cancel.cancel();
        }
        *watched = cancel;
    }
}
