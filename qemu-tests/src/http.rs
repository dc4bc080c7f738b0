//! An HTTP server on the host's loopback interface, which guests reach at 10.0.2.2: one answer for all who ask.

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// How the client learns where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// The head says its length.
    Length,
    /// Each block is a chunk.
    Chunks,
    /// The head says the length of what is compressed; each block is so alone, one behind the other.
    Gzip,
}

/// A body made of the same block again and again.
#[derive(Debug, Clone)]
pub struct Body {
    /// The block.
    pub block: Vec<u8>,
    /// How many times.
    pub times: u64,
    /// How it is framed.
    pub framing: Framing,
}

/// A server that answers one connection after the other. It ends on drop, when the answer under way is sent.
#[derive(Debug)]
pub struct HttpServer {
    port: u16,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Answers every request with this body.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(body: Body) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen for HTTP")?;
        let port = listener.local_addr()?.port();
        let over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let over = over.clone();
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    // A client that has had enough, or is gone, is its test's matter.
                    let _ = body.answer(stream);
                }
            }
        });
        Ok(Self { port, over, thread: Some(thread) })
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the thread, unless it is gone.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            // A panic has been shown already.
            let _ = thread.join();
        }
    }
}

impl Body {
    /// Its length, before it is compressed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.block.len() as u64 * self.times
    }

    /// Reads a request, and answers it.
    fn answer(&self, mut stream: TcpStream) -> Result<()> {
        let mut request = BufReader::new(stream.try_clone()?).lines();
        while !request.next().context("the request ends early")??.is_empty() {}
        let block = match self.framing {
            Framing::Length => self.block.clone(),
            Framing::Chunks => [format!("{:x}\r\n", self.block.len()).as_bytes(), &self.block, b"\r\n"].concat(),
            Framing::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&self.block)?;
                encoder.finish()?
            }
        };
        let length = block.len() as u64 * self.times;
        let fields = match self.framing {
            Framing::Length => format!("Content-Length: {length}"),
            Framing::Chunks => "Transfer-Encoding: chunked".to_owned(),
            Framing::Gzip => format!("Content-Encoding: gzip\r\nContent-Length: {length}"),
        };
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\n{fields}\r\n\r\n").as_bytes())?;
        for _ in 0..self.times {
            stream.write_all(&block)?;
        }
        if self.framing == Framing::Chunks {
            stream.write_all(b"0\r\n\r\n")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn fetched(framing: Framing) -> String {
        let server = HttpServer::start(Body { block: b"ab\n".to_vec(), times: 2, framing }).unwrap();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn the_body_is_framed_as_wanted() {
        let answer = fetched(Framing::Length);
        assert!(answer.ends_with("\r\nContent-Length: 6\r\n\r\nab\nab\n"), "{answer}");
        let answer = fetched(Framing::Chunks);
        assert!(answer.ends_with("\r\n\r\n3\r\nab\n\r\n3\r\nab\n\r\n0\r\n\r\n"), "{answer}");
    }
}
