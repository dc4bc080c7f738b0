//! An echo server for TCP (RFC 862): what a Linux guest answers where a guest of ours runs the task `echo`.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

/// The port that RFC 862 gives to echo.
const PORT: u16 = 7;
/// What is read at once.
const PIECE_BYTES: usize = 4096;

/// Serves for ever, each connection in a thread of its own.
///
/// # Errors
/// The port cannot be used.
pub fn serve() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
    println!("echo: listening on port {PORT}");
    for connection in listener.incoming() {
        let connection = connection?;
        // A connection that breaks concerns nobody else.
        thread::spawn(move || one(connection).ok());
    }
    Ok(())
}

fn one(mut connection: TcpStream) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut piece = [0; PIECE_BYTES];
    loop {
        match connection.read(&mut piece)? {
            0 => return Ok(()),
            length => connection.write_all(&piece[..length])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Shutdown;

    #[test]
    fn what_is_sent_comes_back_and_an_end_is_answered_by_an_end() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = thread::spawn(move || one(listener.accept().unwrap().0));
        let sent = vec![7; 3 * PIECE_BYTES / 2];
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        assert_eq!(received, sent);
        server.join().unwrap().unwrap();
    }
}
