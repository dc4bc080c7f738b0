//! Statics of a guest that runs on one virtual CPU and is never interrupted.

/// A static whose users all run on the guest's one thread.
#[repr(transparent)]
pub(crate) struct SingleCpu<T>(T);

// SAFETY: a guest has one virtual CPU (its xl config says so and the image starts no other), event upcalls stay masked
// for its whole life, and traps never resume: no two uses of the value ever overlap.
unsafe impl<T> Sync for SingleCpu<T> {}

impl<T> SingleCpu<T> {
    /// Wraps a value.
    pub(crate) const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value.
    pub(crate) const fn get(&self) -> &T {
        &self.0
    }
}
