//! One keep-alive connection, and the few API calls that prepare a scenario.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::Outcome;

pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
}

/// One request.
pub struct Question {
    pub method: Method,
    pub path: Uri,
    pub body: Bytes,
    /// None: the connection's own
    pub authorization: Option<HeaderValue>,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Where a connection goes and the token it shows there.
#[derive(Clone)]
pub struct Peer {
    pub address: SocketAddr,
    pub authorization: Option<HeaderValue>,
}

impl Peer {
    pub fn local(port: u16, token: Option<&str>) -> Outcome<Self> {
        let authorization =
            token.map(|token| HeaderValue::from_str(&format!("Bearer {token}"))).transpose()?;
        Ok(Self { address: SocketAddr::from(([127, 0, 0, 1], port)), authorization })
    }
}

impl Connection {
    pub async fn open(peer: &Peer) -> Outcome<Self> {
        let stream = TcpStream::connect(peer.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self {
            sender,
            host: HeaderValue::from_str(&peer.address.to_string())?,
            authorization: peer.authorization.clone(),
        })
    }

    /// The other side closed it, for instance because it was idle for long.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub async fn post(&mut self, path: &Uri, body: Bytes) -> Outcome<Answer> {
        self.call(Method::POST, path, body).await
    }

    pub async fn get(&mut self, path: &Uri) -> Outcome<Answer> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    async fn call(&mut self, method: Method, path: &Uri, body: Bytes) -> Outcome<Answer> {
        self.send(Question { method, path: path.clone(), body, authorization: None }).await
    }

    pub async fn send(&mut self, question: Question) -> Outcome<Answer> {
        let Question { method, path, body, authorization } = question;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(authorization) = authorization.or_else(|| self.authorization.clone()) {
            headers.insert(AUTHORIZATION, authorization);
        }
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

/// What every creating call answers with; the rest of the body is not looked at.
#[derive(Deserialize)]
pub struct Created {
    pub id: String,
}

/// The management calls of a scenario's preparation.
pub struct Api {
    connection: Connection,
}

impl Api {
    pub async fn open(peer: &Peer) -> Outcome<Self> {
        Ok(Self { connection: Connection::open(peer).await? })
    }

    pub async fn create_app(&mut self, name: &str) -> Outcome<String> {
        self.create("/api/v1/app", json!({ "name": name })).await
    }

    pub async fn create_endpoint(&mut self, app: &str, url: &str) -> Outcome<String> {
        let path = format!("/api/v1/app/{app}/endpoint");
        self.create(&path, json!({ "url": url })).await
    }

    /// Deliveries of the endpoint that are neither done nor given up, as the server counts them.
    pub async fn unfinished(&mut self, app: &str, endpoint: &str) -> Outcome<u64> {
        #[derive(Deserialize)]
        struct Stats {
            pending: u64,
            sending: u64,
        }
        let path = format!("/api/v1/app/{app}/endpoint/{endpoint}/stats");
        let answer = self.connection.get(&path.parse()?).await?;
        let stats: Stats = serde_json::from_slice(&expect_success(&path, answer)?)?;
        Ok(stats.pending + stats.sending)
    }

    async fn create(&mut self, path: &str, body: Value) -> Outcome<String> {
        Ok(self.post::<Created>(path, body).await?.id)
    }

    pub async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Outcome<T> {
        let answer = self.connection.get(&path.parse()?).await?;
        Ok(serde_json::from_slice(&expect_success(path, answer)?)?)
    }

    /// As `post`, when nothing is answered.
    pub async fn post_empty(&mut self, path: &str) -> Outcome<()> {
        let answer = self.connection.post(&path.parse()?, "{}".into()).await?;
        expect_success(path, answer).map(drop)
    }

    /// Any call that has to succeed.
    pub async fn post<T: DeserializeOwned>(&mut self, path: &str, body: Value) -> Outcome<T> {
        let answer = self.connection.post(&path.parse()?, body.to_string().into()).await?;
        Ok(serde_json::from_slice(&expect_success(path, answer)?)?)
    }
}

pub fn expect_success(path: &str, answer: Answer) -> Outcome<Bytes> {
    if answer.status.is_success() {
        return Ok(answer.body);
    }
    let text = String::from_utf8_lossy(&answer.body);
    Err(format!("{path} answered {}: {text}", answer.status).into())
}
