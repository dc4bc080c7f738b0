//! The control connection: bytes that say what comes next, and JSON behind its length.

use alloc::vec;
use alloc::vec::Vec;

use embassy_time::{Duration, with_timeout};
use embedded_io_async::{Read, ReadExactError, Write};

use crate::failure::Failure;

/// The bytes of the control connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum State {
    /// Data may flow.
    TestStart = 1,
    /// Data flows.
    TestRunning = 2,
    /// The client has seen enough.
    TestEnd = 4,
    /// The client shall send its parameters.
    ParameterExchange = 9,
    /// The client shall open its streams.
    CreateStreams = 10,
    /// The server ends.
    ServerTerminate = 11,
    /// The client ends.
    ClientTerminate = 12,
    /// The client sends its results, then the server.
    ExchangeResults = 13,
    /// The client shall show the results.
    DisplayResults = 14,
    /// A test is running, and not this client's.
    AccessDenied = -1,
    /// The server gives up; two numbers that say why follow.
    ServerError = -2,
}

/// What begins each connection of a test, the same for all of them.
pub type Cookie = [u8; 37];

/// How long a client may take for a step.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// No client's parameters are longer.
const LONGEST_PARAMETERS: usize = 8 * 1024;

/// No client's results are longer. They are read and not looked at.
const LONGEST_RESULTS: usize = 256 * 1024;

/// Sends what comes next.
pub async fn say(control: &mut impl Write, state: State) -> Result<(), Failure> {
    control.write_all(&[state as i8 as u8]).await.map_err(|_| Failure::Gone)
}

/// Says why the server gives up.
pub async fn say_error(control: &mut impl Write, code: i32) -> Result<(), Failure> {
    let mut message = [0; 9];
    message[0] = State::ServerError as i8 as u8;
    message[1..5].copy_from_slice(&code.to_be_bytes());
    // The last four would be the operating system's number of what went wrong.
    control.write_all(&message).await.map_err(|_| Failure::Gone)
}

/// What the client says next.
pub async fn hear(control: &mut impl Read) -> Result<u8, Failure> {
    let mut state = [0];
    read(control, &mut state).await?;
    Ok(state[0])
}

/// Reads the cookie that begins a connection.
pub async fn cookie(connection: &mut impl Read) -> Result<Cookie, Failure> {
    let mut cookie = [0; size_of::<Cookie>()];
    in_time(read(connection, &mut cookie)).await?;
    Ok(cookie)
}

/// Reads the client's parameters.
pub async fn parameters(control: &mut impl Read) -> Result<Vec<u8>, Failure> {
    in_time(async {
        let length = length(control).await?;
        if length > LONGEST_PARAMETERS {
            return Err(Failure::Parameters);
        }
        let mut text = vec![0; length];
        read(control, &mut text).await?;
        Ok(text)
    })
    .await
}

/// Reads the client's results, and forgets them.
pub async fn skip_results(control: &mut impl Read) -> Result<(), Failure> {
    in_time(async {
        let mut rest = length(control).await?;
        if rest > LONGEST_RESULTS {
            return Err(Failure::Unexpected(0));
        }
        let mut chunk = [0; 512];
        while rest > 0 {
            let part = rest.min(chunk.len());
            read(control, &mut chunk[..part]).await?;
            rest -= part;
        }
        Ok(())
    })
    .await
}

/// Sends JSON.
pub async fn send_json(control: &mut impl Write, text: &str) -> Result<(), Failure> {
    let length = u32::try_from(text.len()).map_err(|_| Failure::Gone)?;
    control.write_all(&length.to_be_bytes()).await.map_err(|_| Failure::Gone)?;
    control.write_all(text.as_bytes()).await.map_err(|_| Failure::Gone)
}

/// Gives a step of the client's no more than [`PATIENCE`].
pub async fn in_time<T>(step: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    with_timeout(PATIENCE, step).await.unwrap_or(Err(Failure::Late))
}

async fn length(control: &mut impl Read) -> Result<usize, Failure> {
    let mut length = [0; 4];
    read(control, &mut length).await?;
    usize::try_from(u32::from_be_bytes(length)).map_err(|_| Failure::Parameters)
}

async fn read<R: Read>(connection: &mut R, buffer: &mut [u8]) -> Result<(), Failure> {
    connection.read_exact(buffer).await.map_err(|_: ReadExactError<R::Error>| Failure::Gone)
}
