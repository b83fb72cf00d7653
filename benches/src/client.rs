//! A lean HTTP/1.1 client: one connection a client, kept alive, nothing pooled.

use crate::Failure;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::Url;

/// The answer to a request, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body, when the request succeeded.
    pub(crate) fn success(self) -> Result<Bytes, Failure> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let text = String::from_utf8_lossy(&self.body);
        Err(format!(
            "{}: {}",
            self.status,
            text.chars().take(300).collect::<String>()
        )
        .into())
    }

    /// The body as JSON, when the request succeeded.
    pub(crate) fn json(self) -> Result<serde_json::Value, Failure> {
        Ok(serde_json::from_slice(&self.success()?)?)
    }
}

/// A connection to one server; connects anew when the server has closed it.
#[derive(Debug)]
pub(crate) struct Client {
    host: String,
    address: String,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// A client of the origin `base`, such as `http://localhost:2583`. Connects on first use.
    pub(crate) fn new(base: &Url) -> Result<Self, Failure> {
        let name = base.host_str().ok_or("the URL has no host")?;
        let port = base.port_or_known_default().ok_or("the URL has no port")?;
        Ok(Self {
            host: format!("{name}:{port}"),
            address: format!("{name}:{port}"),
            sender: None,
        })
    }

    /// GET; `path` with its query.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Answer, Failure> {
        read(self.send(Method::GET, path, None, Bytes::new()).await?).await
    }

    /// POST of JSON.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        token: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Result<Answer, Failure> {
        read(self.send(Method::POST, path, token, body.into()).await?).await
    }

    /// Sends a request and answers with the response before its body is read.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::builder()
            .method(&method)
            .uri(path)
            .header("host", &self.host);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if method == Method::POST {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::new(body))?;
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => connect(&self.address).await?,
        };
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        self.sender = Some(sender);
        Ok(response)
    }
}

async fn connect(address: &str) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn read(response: Response<Incoming>) -> Result<Answer, Failure> {
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(Answer { status, body })
}
