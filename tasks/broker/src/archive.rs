//! A database of the past, an InfluxDB 1.x: where it is, and how it is asked over HTTP.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use base64ct::{Base64, Encoding};
use http1::{Connection, Url};
use kernel::net::Network;
use readings::influx::answer::{self, Part};

mod lines;

use lines::lines;
pub(crate) use lines::{Fault, Lines};

/// How many rows of texts come in a line.
const ROWS: usize = 64;
/// The most text of one answer that is kept.
const TEXT_BYTES: usize = 32 * 1024;
/// So many connections may be lost while one question is answered.
pub(crate) const ATTEMPTS: u32 = 3;

/// A database.
#[derive(Debug)]
pub(crate) struct Archive {
    pub(crate) server: Url,
    database: String,
    /// The field of a request that says who asks; empty where nobody needs to know.
    access: String,
    /// What all its sensors measure, and in what; empty if nobody says.
    pub(crate) kind: String,
    pub(crate) unit: String,
}

impl Archive {
    /// The database of `http://host:port/database?kind=temperature&unit=Cel`, of which the options may be left out.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str, login: Option<(&str, &str)>) -> Result<Self, &'static str> {
        let server = Url::parse(text)?;
        let (path, options) = server.target();
        let database = path.strip_prefix('/').unwrap_or(path);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if database.is_empty() || !database.bytes().all(plain) {
            return Err("it is http://host:port/database, with letters, digits, -, . and _ in the database's name");
        }
        let (mut kind, mut unit) = (String::new(), String::new());
        for option in options.into_iter().flat_map(|options| options.split('&')) {
            match option.split_once('=') {
                Some(("kind", text)) if text.len() <= feed::TEXT_BYTES => kind = text.into(),
                Some(("unit", text)) if text.len() <= readings::UNIT_BYTES => unit = text.into(),
                _ => return Err("an option is kind= or unit=, with 16 bytes at most"),
            }
        }
        let access = login.map_or(String::new(), |(user, password)| {
            format!("Authorization: Basic {}\r\n", Base64::encode_string(format!("{user}:{password}").as_bytes()))
        });
        Ok(Self { database: database.into(), access, kind, unit, server })
    }

    /// The texts of an answer's rows, of which there may be so many.
    pub(crate) async fn texts(
        &self,
        network: &impl Network,
        query: &str,
        most: usize,
    ) -> Result<Vec<(String, String)>, Fault> {
        let mut lost = 0;
        loop {
            match self.try_texts(network, query, most).await {
                Err(Fault::Lost) if lost + 1 < ATTEMPTS => lost += 1,
                ended => return ended,
            }
        }
    }

    async fn try_texts(
        &self,
        network: &impl Network,
        query: &str,
        most: usize,
    ) -> Result<Vec<(String, String)>, Fault> {
        let (mut lines, mut scratch) = (self.ask(network, query, ROWS).await?, Vec::new());
        let (mut texts, mut bytes, mut error) = (Vec::new(), 0, None);
        while let Some(line) = lines.next().await? {
            answer::read(line, &mut scratch, &mut |part| match part {
                Part::Texts(one, other) => {
                    bytes += one.len() + other.len();
                    if texts.len() < most && bytes <= TEXT_BYTES {
                        texts.push((one.to_string(), other.to_string()));
                    } else {
                        error = Some(Fault::Much);
                    }
                }
                Part::Error(why) => error = Some(Fault::said(why)),
                _ => {}
            })?;
            if let Some(error) = error.take() {
                return Err(error);
            }
        }
        Ok(texts)
    }

    /// Asks, for an answer of so many rows in a line.
    pub(crate) async fn ask<'n, N: Network>(
        &self,
        network: &'n N,
        query: &str,
        rows: usize,
    ) -> Result<Lines<Connection<'n, N>>, Fault> {
        let rows = rows.to_string();
        let pairs =
            [("db", &*self.database), ("epoch", "ns"), ("chunked", "true"), ("chunk_size", &rows), ("q", query)];
        let url = self.server.with_query("/query", &pairs).map_err(|_| Fault::Long)?;
        lines(network, &url, &self.access).await
    }
}
