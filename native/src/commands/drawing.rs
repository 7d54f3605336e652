//! Options of every command that writes text.

use fastweight::error::Error;
use fastweight::generate::{Sampling, Session, WritingOptions};

use crate::args::Writing;

impl Writing {
    /// Sets a session's options: those that were typed, over those that it has. Its seed is kept only if it goes on from a saved one.
    pub(crate) fn apply(&self, session: &mut Session, keep_seed: bool) -> Result<Sampling, Error> {
        let base = *session.sampling();
        let fresh_seed = || {
            let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            time.map_or(0, |t| u64::from(t.subsec_nanos()) ^ t.as_secs())
        };
        let sampling = Sampling {
            temperature: self.temp.unwrap_or(base.temperature),
            top_k: self.top_k.unwrap_or(base.top_k),
            top_p: self.top_p.unwrap_or(base.top_p),
            min_p: self.min_p.unwrap_or(base.min_p),
            repeat_penalty: self.repeat_penalty.unwrap_or(base.repeat_penalty),
            repeat_last_n: self.repeat_last_n.unwrap_or(base.repeat_last_n),
            seed: self.seed.unwrap_or_else(|| if keep_seed { base.seed } else { fresh_seed() }),
        };
        session.set_sampling(sampling)?;
        match (self.no_learning, self.learning) {
            (true, _) => session.set_learning(0.0)?,
            (false, Some(scale)) => session.set_learning(scale)?,
            (false, None) => {}
        }
        Ok(sampling)
    }

    /// When a text ends.
    pub(crate) fn options(&self, logprobs: usize, resumable: bool) -> WritingOptions {
        WritingOptions { predict: self.predict, stop: self.stop.clone(), logprobs, resumable }
    }
}
