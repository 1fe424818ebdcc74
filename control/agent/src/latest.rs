//! The latest of something, from one thread to another.

use std::sync::{Mutex, PoisonError};

/// Holds one value: a new one takes the place of one that nobody has taken yet. So the queue
/// between two threads is one long, and who is slow misses only what no longer holds.
pub struct Latest<T> {
    value: Mutex<Option<T>>,
    bell: Box<dyn Fn() + Send + Sync>,
}

impl<T> Latest<T> {
    /// Empty. `bell` is called at every [`put`](Self::put), to wake who waits; it must not wait.
    pub fn new(bell: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            value: Mutex::new(None),
            bell: Box::new(bell),
        }
    }

    /// Puts `value` in place of what there is.
    pub fn put(&self, value: T) {
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        (self.bell)();
    }

    /// Takes what there is.
    pub fn take(&self) -> Option<T> {
        self.value
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}
