//! A lean HTTP/1.1 client: one connection a client, kept alive, nothing pooled.

use crate::Failure;
use bytes::Bytes;
use data_encoding::BASE64;
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

/// A request that can be sent.
#[derive(Debug)]
pub(crate) struct Ask {
    method: Method,
    path: String,
    authorization: Option<String>,
    media_type: &'static str,
    body: Bytes,
}

impl Ask {
    /// GET; `path` with its query.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            authorization: None,
            media_type: "application/json",
            body: Bytes::new(),
        }
    }

    /// POST of JSON.
    pub(crate) fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            method: Method::POST,
            body: body.into(),
            ..Self::get(path)
        }
    }

    /// As something else than JSON.
    pub(crate) fn of_type(mut self, media_type: &'static str) -> Self {
        self.media_type = media_type;
        self
    }

    /// In the name of who has this token.
    pub(crate) fn bearer(mut self, token: &str) -> Self {
        self.authorization = Some(format!("Bearer {token}"));
        self
    }

    /// In the name of user `admin`.
    pub(crate) fn admin(mut self, password: &str) -> Self {
        let pair = BASE64.encode(format!("admin:{password}").as_bytes());
        self.authorization = Some(format!("Basic {pair}"));
        self
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
        self.ask(Ask::get(path)).await
    }

    /// POST of JSON.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        token: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Result<Answer, Failure> {
        let ask = Ask::post(path, body);
        let ask = match token {
            Some(token) => ask.bearer(token),
            None => ask,
        };
        self.ask(ask).await
    }

    /// Sends a request and reads the response to its end.
    pub(crate) async fn ask(&mut self, ask: Ask) -> Result<Answer, Failure> {
        read(self.send(ask).await?).await
    }

    /// Sends a request and answers with the response before its body is read.
    pub(crate) async fn send(&mut self, ask: Ask) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::builder()
            .method(&ask.method)
            .uri(ask.path)
            .header("host", &self.host);
        if let Some(authorization) = ask.authorization {
            request = request.header("authorization", authorization);
        }
        // A method without input is asked without a body, and then without a type.
        if !ask.body.is_empty() {
            request = request.header("content-type", ask.media_type);
        }
        let request = request.body(Full::new(ask.body))?;
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
