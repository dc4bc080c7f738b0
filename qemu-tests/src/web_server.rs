//! Real web servers on the host's loopback interface, with one folder of files each.
//!
//! All serve the folder below `/`, redirect `/moved/<file>` to `/<file>`, and compress what a client takes compressed. Each runs as one
//! process in the foreground, with a configuration of its own and nothing of the system's.

use crate::host_tool;
use crate::place;
use crate::process::{Log, Process};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Longest wait for a server to listen.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// A web server. It ends on drop.
#[derive(Debug)]
pub struct WebServer {
    port: u16,
    folder: PathBuf,
    _process: Process,
}

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// nginx. What is below `/chunked/` comes in chunks.
    Nginx,
    /// lighttpd.
    Lighttpd,
    /// haproxy in front of the server at this port: it sends an interim answer (103, Early Hints) before each answer.
    EarlyHints(u16),
}

impl WebServer {
    /// Starts a server on a free port, with an empty folder of files. Folder, configuration and log are below
    /// `target/bed/web/<name>`.
    ///
    /// # Errors
    /// The packages are missing, or the server does not start.
    pub fn start(kind: Kind, name: &str) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let home = place::bed().join("web").join(name);
        let folder = home.join("files");
        // Nothing of an earlier run.
        if home.exists() {
            fs::remove_dir_all(&home).with_context(|| format!("remove {}", home.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let settings = home.join("conf");
        fs::write(&settings, kind.settings(port, &home)).with_context(|| format!("write {}", settings.display()))?;
        let log = home.join("log");
        let said = Log::default();
        let file = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let mut process = Process::start(kind.command(&settings, &home)?, &said, file).context("start a web server")?;
        // haproxy does not say when it listens.
        let listens = process.listens(port, START_PATIENCE)?;
        ensure!(listens, "{kind:?} did not start:\n{}", fs::read_to_string(&log).unwrap_or_default());
        Ok(Self { port, folder, _process: process })
    }

    /// Puts a file into its folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&self, name: &str, content: &[u8]) -> Result<()> {
        fs::write(self.folder.join(name), content).with_context(|| format!("write {name}"))
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}

impl Kind {
    /// The command that runs it in the foreground, so that it ends when it is killed.
    fn command(self, settings: &Path, home: &Path) -> Result<Command> {
        let program = match self {
            Self::Nginx => "/usr/sbin/nginx",
            Self::Lighttpd => "/usr/sbin/lighttpd",
            Self::EarlyHints(_) => "/usr/sbin/haproxy",
        };
        let mut command = host_tool::command(program)?;
        match self {
            Self::Nginx => command.arg("-p").arg(home).args(["-e", "stderr", "-c"]).arg(settings),
            Self::Lighttpd => {
                let modules = host_tool::path("/usr/lib/lighttpd")?;
                command.arg("-D").arg("-m").arg(modules).arg("-f").arg(settings)
            }
            Self::EarlyHints(_) => command.args(["-db", "-f"]).arg(settings),
        };
        Ok(command)
    }

    fn settings(self, port: u16, home: &Path) -> String {
        let home = home.display();
        match self {
            // One process that is master and worker at once, so that none is left when it is killed.
            Self::Nginx => format!(
                "daemon off;\nmaster_process off;\npid {home}/pid;\nerror_log stderr notice;\n\
                 events {{ }}\n\
                 http {{\n  access_log off;\n  default_type text/plain;\n\
                 client_body_temp_path {home}/t1;\n  proxy_temp_path {home}/t2;\n  fastcgi_temp_path {home}/t3;\n\
                 uwsgi_temp_path {home}/t4;\n  scgi_temp_path {home}/t5;\n\
                 gzip on;\n  gzip_types text/plain;\n  gzip_min_length 1;\n\
                 server {{\n    listen 127.0.0.1:{port};\n    root {home}/files;\n\
                 location /moved/ {{ rewrite ^/moved/(.*)$ /$1 redirect; }}\n\
                 location /chunked/ {{ alias {home}/files/; gzip off; sub_filter_types *; sub_filter \"no such text\" \"\"; }}\n\
                 location /plain/ {{ alias {home}/files/; gzip off; }}\n  }}\n}}\n"
            ),
            Self::Lighttpd => format!(
                "server.modules = ( \"mod_redirect\", \"mod_alias\", \"mod_deflate\", \"mod_setenv\" )\n\
                 server.port = {port}\nserver.bind = \"127.0.0.1\"\nserver.document-root = \"{home}/files\"\n\
                 mimetype.assign = ( \"\" => \"text/plain\" )\n\
                 url.redirect = ( \"^/moved/(.*)$\" => \"/$1\" )\n\
                 alias.url = ( \"/plain/\" => \"{home}/files/\" )\n\
                 $HTTP[\"url\"] !~ \"^/plain/\" {{\n  deflate.mimetypes = ( \"text/plain\" )\n\
                 deflate.allowed-encodings = ( \"gzip\" )\n}}\n"
            ),
            Self::EarlyHints(behind) => format!(
                "global\n  log stderr format raw local0\n\
                 defaults\n  mode http\n  log global\n  timeout connect 30s\n  timeout client 30s\n  timeout server 30s\n\
                 frontend web\n  bind 127.0.0.1:{port}\n  http-request early-hint Link \"</style.css>; rel=preload\"\n\
                 default_backend files\n\
                 backend files\n  server one 127.0.0.1:{behind}\n"
            ),
        }
    }
}
