//! WebSocket connections to hosts that strangers can name.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::USER_AGENT;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

use super::{CONNECT_TIMEOUT, Outbound, OutboundError, host_of};

/// A connected WebSocket.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How long the handshakes of TLS and WebSocket may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

impl Outbound {
    /// Connects to a `wss://` address (`ws://localhost` in development). Answers the socket, which
    /// refuses messages above `max_message_bytes`, and the headers of the host's answer.
    ///
    /// # Errors
    /// As [`Outbound::get`].
    pub async fn connect_ws(
        &self,
        url: &str,
        max_message_bytes: usize,
    ) -> Result<(Socket, HeaderMap), OutboundError> {
        let target = self.check_url(url, false)?;
        let host = host_of(&target);
        let unreachable = |reason: String| OutboundError::Unreachable {
            host: host.clone(),
            reason,
        };
        let stream = self.connect_tcp(&target, &host).await?;
        let mut request = target
            .as_str()
            .into_client_request()
            .map_err(|cause| unreachable(cause.to_string()))?;
        if let Ok(agent) = self.user_agent.parse() {
            request.headers_mut().insert(USER_AGENT, agent);
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(max_message_bytes))
            .max_frame_size(Some(max_message_bytes));
        let connector = Connector::Rustls(Arc::clone(&self.tls));
        let handshake = tokio_tungstenite::client_async_tls_with_config(
            request,
            stream,
            Some(config),
            Some(connector),
        );
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(Ok((socket, mut answer))) => Ok((socket, std::mem::take(answer.headers_mut()))),
            Ok(Err(cause)) => Err(unreachable(cause.to_string())),
            Err(_elapsed) => Err(timed_out(&host, HANDSHAKE_TIMEOUT)),
        }
    }

    async fn connect_tcp(&self, target: &url::Url, host: &str) -> Result<TcpStream, OutboundError> {
        let port = target.port_or_known_default().unwrap_or(443);
        let connect = async {
            let addresses = match target.host() {
                Some(url::Host::Ipv4(ip)) => vec![(ip, port).into()],
                Some(url::Host::Ipv6(ip)) => vec![(ip, port).into()],
                _ => self
                    .dns
                    .lookup(host, port)
                    .await
                    .map_err(|error| error.at(host.to_owned()))?,
            };
            let connected = TcpStream::connect(addresses.as_slice()).await;
            connected
                .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
                .map_err(|cause| OutboundError::Unreachable {
                    host: host.to_owned(),
                    reason: cause.to_string(),
                })
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(timed_out(host, CONNECT_TIMEOUT)),
        }
    }
}

fn timed_out(host: &str, limit: Duration) -> OutboundError {
    let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    OutboundError::Timeout {
        host: host.to_owned(),
        limit_ms,
    }
}
