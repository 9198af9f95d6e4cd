//! What one call may take of the memory.
//!
//! A failed allocation inside of a library ends the program, so whoever will need much asks for all of it beforehand.

use crate::error::{Error, Result, out_of_memory};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Of calls that need more than this, one runs at a time.
const LARGE_BYTES: usize = 128 << 20;
/// Less is not asked for beforehand.
const SMALL_BYTES: usize = 1 << 20;

static LARGE: Mutex<()> = Mutex::new(());

/// Held while what was claimed is in use; to be dropped last, as memory goes back to the system then.
pub struct Claim {
    _turn: Option<MutexGuard<'static, ()>>,
}

impl Claim {
    /// Waits for its turn. An error when the system does not give `bytes`, which `what` needs.
    pub fn new(bytes: usize, what: &str) -> Result<Self> {
        let turn = (bytes > LARGE_BYTES).then(|| LARGE.lock().unwrap_or_else(PoisonError::into_inner));
        if bytes > SMALL_BYTES && Vec::<u8>::new().try_reserve_exact(bytes).is_err() {
            return Err(refusal(bytes, what));
        }
        Ok(Self { _turn: turn })
    }
}

fn refusal(bytes: usize, what: &str) -> Error {
    out_of_memory(format!("{what} needs {} MiB of memory for a moment, which are not free", bytes.div_ceil(1 << 20)))
}

impl Drop for Claim {
    fn drop(&mut self) {
        #[cfg(target_env = "gnu")]
        if self._turn.is_some() {
            // SAFETY: safe at any time.
            unsafe { libc::malloc_trim(0) };
        }
    }
}
