//! The HTTP side of the fake host and of the directory that knows its accounts: just enough of both for
//! a relay. A socket that asks for the stream is handed to the bench after the handshake.

use super::fleet::Fleet;
use crate::Failure;
use crate::frames::find;
use serde_json::json;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Sender;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const MOST_REQUEST_BYTES: usize = 16 * 1024;

/// Answers until the program ends.
pub(super) async fn serve(listener: TcpListener, fleet: Rc<Fleet>, upgraded: Sender<TcpStream>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (fleet, upgraded) = (Rc::clone(&fleet), upgraded.clone());
        tokio::task::spawn_local(async move {
            // A client that hangs up in the middle is its own affair.
            answer_all(socket, &fleet, upgraded).await.ok();
        });
    }
}

async fn answer_all(
    mut socket: TcpStream,
    fleet: &Fleet,
    upgraded: Sender<TcpStream>,
) -> Result<(), Failure> {
    socket.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        let Some(end) = find(&buffer, b"\r\n\r\n") else {
            if buffer.len() > MOST_REQUEST_BYTES || socket.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let head = String::from_utf8_lossy(buffer.get(..end).unwrap_or_default()).into_owned();
        buffer.drain(..end + 4);
        let target = head.split(' ').nth(1).unwrap_or("/");
        if target.starts_with("/xrpc/com.atproto.sync.subscribeRepos") {
            socket.write_all(handshake(&head)?.as_bytes()).await?;
            upgraded.send(socket).await?;
            return Ok(());
        }
        let (status, kind, body) = answer(target, fleet);
        let response = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(response.as_bytes()).await?;
    }
}

fn handshake(head: &str) -> Result<String, Failure> {
    let key = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
        .ok_or("no Sec-WebSocket-Key")?
        .1
        .trim();
    let accept = derive_accept_key(key.as_bytes());
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ))
}

fn answer(target: &str, fleet: &Fleet) -> (&'static str, &'static str, String) {
    const OK: &str = "200 OK";
    const JSON: &str = "application/json";
    let path = target.split('?').next().unwrap_or_default();
    let did = path
        .trim_start_matches('/')
        .replace("%3A", ":")
        .replace("%3a", ":");
    if let Some(document) = fleet.document(&did) {
        return (OK, "application/did+ld+json", document.to_owned());
    }
    match path {
        "/xrpc/com.atproto.server.describeServer" => {
            let server = json!({ "did": "did:web:localhost", "availableUserDomains": [".test"] });
            (OK, JSON, server.to_string())
        }
        "/xrpc/com.atproto.sync.listRepos" => (OK, JSON, json!({ "repos": [] }).to_string()),
        "/xrpc/_health" | "/_health" => (OK, JSON, json!({ "version": "bench" }).to_string()),
        _ => (
            "404 Not Found",
            JSON,
            json!({ "message": "not here" }).to_string(),
        ),
    }
}
