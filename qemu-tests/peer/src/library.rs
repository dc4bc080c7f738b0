//! The functions of libxenvchan that are used here, found at run time.
//!
//! Source: `libxenvchan.h` of Xen 4.17.

use std::ffi::{CString, c_char, c_int, c_void};
use std::io;

use anyhow::{Context, Result, ensure};
use libloading::Symbol;

/// `struct libxenvchan`, of which only the library knows what is in it.
type Control = *mut c_void;

/// The library.
pub struct Library(libloading::Library);

/// An end of a channel; no call waits but [`wait`](Self::wait).
pub struct Channel<'a> {
    library: &'a Library,
    control: Control,
}

impl Library {
    /// Loads it.
    pub fn load(name: &str) -> Result<Self> {
        // SAFETY: its initialisers do nothing that another part of this program could notice.
        unsafe { libloading::Library::new(name) }.map(Self).with_context(|| name.to_owned())
    }

    /// A function of the library.
    ///
    /// # Safety
    /// It must have this type.
    unsafe fn function<T>(&self, name: &str) -> Result<Symbol<'_, T>> {
        // SAFETY: the caller vouches for the type.
        unsafe { self.0.get(name) }.with_context(|| name.to_owned())
    }

    fn channel(&self, control: Control) -> Result<Channel<'_>> {
        let error = io::Error::last_os_error();
        ensure!(!control.is_null(), "no channel: {error}");
        Ok(Channel { library: self, control })
    }

    /// The server's end, with rings that hold at least so much to read and to write.
    pub fn serve(&self, domain: c_int, path: &str, read: usize, write: usize) -> Result<Channel<'_>> {
        type Init = unsafe extern "C" fn(*mut c_void, c_int, *const c_char, usize, usize) -> Control;
        let path = CString::new(path)?;
        // SAFETY: as in the header.
        let init = unsafe { self.function::<Init>("libxenvchan_server_init") }?;
        // SAFETY: the path is text, and without a logger the library makes its own.
        self.channel(unsafe { init(std::ptr::null_mut(), domain, path.as_ptr(), read, write) })
    }

    /// The client's end.
    pub fn connect(&self, domain: c_int, path: &str) -> Result<Channel<'_>> {
        type Init = unsafe extern "C" fn(*mut c_void, c_int, *const c_char) -> Control;
        let path = CString::new(path)?;
        // SAFETY: as in the header.
        let init = unsafe { self.function::<Init>("libxenvchan_client_init") }?;
        // SAFETY: the path is text, and without a logger the library makes its own.
        self.channel(unsafe { init(std::ptr::null_mut(), domain, path.as_ptr()) })
    }
}

/// A result of the library: less than 0 is an error.
fn count(result: c_int) -> Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error()).context("libxenvchan")
}

impl Channel<'_> {
    /// Reads what is there.
    pub fn read(&mut self, destination: &mut [u8]) -> Result<usize> {
        type Read = unsafe extern "C" fn(Control, *mut c_void, usize) -> c_int;
        // SAFETY: as in the header.
        let read = unsafe { self.library.function::<Read>("libxenvchan_read") }?;
        // SAFETY: the channel is open, and so much may be written there.
        count(unsafe { read(self.control, destination.as_mut_ptr().cast(), destination.len()) })
    }

    /// Writes what there is room for.
    pub fn write(&mut self, source: &[u8]) -> Result<usize> {
        type Write = unsafe extern "C" fn(Control, *const c_void, usize) -> c_int;
        // SAFETY: as in the header.
        let write = unsafe { self.library.function::<Write>("libxenvchan_write") }?;
        // SAFETY: the channel is open, and so much may be read there.
        count(unsafe { write(self.control, source.as_ptr().cast(), source.len()) })
    }

    /// Waits for an event.
    pub fn wait(&mut self) -> Result<()> {
        self.call("libxenvchan_wait").and_then(count).map(drop)
    }

    /// Whether the other end is there, or may still come.
    pub fn is_open(&mut self) -> bool {
        self.call("libxenvchan_is_open").is_ok_and(|state| state > 0)
    }

    fn call(&mut self, name: &str) -> Result<c_int> {
        type Call = unsafe extern "C" fn(Control) -> c_int;
        // SAFETY: as in the header.
        let call = unsafe { self.library.function::<Call>(name) }?;
        // SAFETY: the channel is open.
        Ok(unsafe { call(self.control) })
    }
}

impl Drop for Channel<'_> {
    fn drop(&mut self) {
        type Close = unsafe extern "C" fn(Control);
        // SAFETY: as in the header.
        if let Ok(close) = unsafe { self.library.function::<Close>("libxenvchan_close") } {
            // SAFETY: the channel is open, and not used any more.
            unsafe { close(self.control) };
        }
    }
}
