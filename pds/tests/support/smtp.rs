//! A mail server that keeps what it takes: enough of SMTP (RFC 5321) for any client that needs no
//! TLS and no password.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A mail as it was taken.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    /// `MAIL FROM`.
    pub(crate) from: String,
    /// `RCPT TO`.
    pub(crate) to: String,
    /// Headers and body.
    pub(crate) data: String,
}

#[derive(Debug, Default)]
struct State {
    taken: Mutex<Vec<Taken>>,
    busy: AtomicBool,
}

/// A running mail server; it ends when dropped.
pub(crate) struct MailServer {
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Receivers whose name begins so do not exist here.
pub(crate) const NOBODY: &str = "lostone";

impl MailServer {
    /// Listens on `port` of this machine.
    pub(crate) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await;
        let listener = listener.expect("the port is free");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(talk(socket, Arc::clone(&shared)));
            }
        });
        Self { state, task }
    }

    /// The mails taken so far, oldest first.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.state.taken.lock().clone()
    }

    /// Whether every mail is put off with 451 from now on.
    pub(crate) fn set_busy(&self, busy: bool) {
        self.state.busy.store(busy, Ordering::SeqCst);
    }
}

async fn talk(socket: TcpStream, state: Arc<State>) -> Option<()> {
    let (read, mut write) = socket.into_split();
    let mut lines = BufReader::new(read).lines();
    let (mut from, mut to) = (String::new(), String::new());
    write.write_all(b"220 test ESMTP\r\n").await.ok()?;
    while let Some(line) = lines.next_line().await.ok()? {
        let address = || line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let verb = line.split([' ', ':']).next().unwrap_or_default();
        let answer = match verb.to_ascii_uppercase().as_str() {
            "EHLO" => "250-test\r\n250 8BITMIME",
            "MAIL" => {
                from = address();
                "250 ok"
            }
            "RCPT" if address().starts_with(NOBODY) => "550 5.1.1 no such mailbox",
            "RCPT" => {
                to = address();
                "250 ok"
            }
            "DATA" => {
                write.write_all(b"354 go on\r\n").await.ok()?;
                let mut data = String::new();
                loop {
                    let line = lines.next_line().await.ok()??;
                    if line == "." {
                        break;
                    }
                    data.push_str(line.strip_prefix('.').unwrap_or(&line));
                    data.push_str("\r\n");
                }
                if state.busy.load(Ordering::SeqCst) {
                    "451 4.3.0 try again later"
                } else {
                    let (from, to) = (from.clone(), to.clone());
                    state.taken.lock().push(Taken { from, to, data });
                    "250 taken"
                }
            }
            "RSET" | "NOOP" => "250 ok",
            "QUIT" => {
                write.write_all(b"221 bye\r\n").await.ok()?;
                return None;
            }
            _ => "502 not here",
        };
        write
            .write_all(format!("{answer}\r\n").as_bytes())
            .await
            .ok()?;
    }
    None
}
