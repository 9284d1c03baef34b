//! HTTP/1.1 by hand, as far as our client uses it, with every way to misbehave.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::reply::Act;
use super::{Connection, Received, Reply};

/// The largest request taken in.
const REQUEST_MAX_BYTES: usize = 64 * 1024 * 1024;
const CHUNK_BYTES: usize = 16 * 1024;

pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

pub(super) async fn serve(mut socket: impl Socket, connection: &Connection) -> io::Result<()> {
    let mut unread = Vec::new();
    while let Some(mut request) = read_request(&mut socket, &mut unread).await? {
        request.connection = connection.number;
        let reply = connection.shared.arrived(request).await;
        perform(&mut socket, &reply).await?;
        if !matches!(reply.act, Act::Answer) {
            break;
        }
    }
    socket.shutdown().await
}

async fn perform(socket: &mut impl Socket, reply: &Reply) -> io::Result<()> {
    match &reply.act {
        Act::Answer => {
            let head = head(reply, reply.body.len());
            socket.write_all(head.as_bytes()).await?;
            socket.write_all(&reply.body).await?;
            socket.flush().await
        }
        Act::Hang => until_left(socket).await,
        Act::Reset => {
            socket.tcp().set_zero_linger()?;
            Err(io::ErrorKind::ConnectionReset.into())
        }
        Act::Close => Ok(()),
        Act::Raw(bytes) => socket.write_all(bytes).await,
        Act::StallInBody => {
            socket.write_all(head(reply, usize::MAX).as_bytes()).await?;
            socket.write_all(b"1").await?;
            socket.flush().await?;
            until_left(socket).await
        }
        Act::DripHead(every) => drip(socket, head(reply, 0).as_bytes(), *every).await,
        Act::DripBody(every) => {
            socket.write_all(head(reply, usize::MAX).as_bytes()).await?;
            loop {
                drip(socket, b".", *every).await?;
            }
        }
        Act::Endless => {
            socket.write_all(head(reply, usize::MAX).as_bytes()).await?;
            forever(socket, &[b'e'; CHUNK_BYTES]).await
        }
        Act::Informational => forever(socket, b"HTTP/1.1 100 Continue\r\n\r\n").await,
    }
}

async fn forever(socket: &mut impl Socket, bytes: &[u8]) -> io::Result<()> {
    loop {
        socket.write_all(bytes).await?;
    }
}

async fn drip(socket: &mut impl Socket, bytes: &[u8], every: Duration) -> io::Result<()> {
    for byte in bytes {
        socket.write_all(&[*byte]).await?;
        socket.flush().await?;
        tokio::time::sleep(every).await;
    }
    Ok(())
}

async fn until_left(socket: &mut impl Socket) -> io::Result<()> {
    let mut ignored = [0; 1024];
    while socket.read(&mut ignored).await? > 0 {}
    Ok(())
}

fn head(reply: &Reply, body_bytes: usize) -> String {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if reply.status != 204 {
        // Larger than i64 is refused by some clients before they have read a byte.
        let body_bytes = body_bytes.min(1 << 62);
        head.push_str(&format!("content-length: {body_bytes}\r\n"));
    }
    head + "\r\n"
}

/// The next request; none when the client has closed between two.
async fn read_request(
    socket: &mut impl Socket,
    unread: &mut Vec<u8>,
) -> io::Result<Option<Received>> {
    let head_bytes = loop {
        if let Some(at) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if !fill(socket, unread).await? {
            return Ok(None);
        }
        if !unread[0].is_ascii_uppercase() {
            socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&unread[..head_bytes]).into_owned();
    let mut request = parse_head(&head).ok_or(io::ErrorKind::InvalidData)?;
    let body_bytes: usize = match request.header("content-length") {
        Some(length) => length.parse().map_err(|_| io::ErrorKind::InvalidData)?,
        None => 0,
    };
    while unread.len() < head_bytes + body_bytes {
        if !fill(socket, unread).await? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    request.body = unread[head_bytes..head_bytes + body_bytes].to_vec();
    unread.drain(..head_bytes + body_bytes);
    Ok(Some(request))
}

async fn fill(socket: &mut impl Socket, unread: &mut Vec<u8>) -> io::Result<bool> {
    if unread.len() > REQUEST_MAX_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(socket.read_buf(unread).await? > 0)
}

fn parse_head(head: &str) -> Option<Received> {
    let mut lines = head.split("\r\n");
    let mut start = lines.next()?.splitn(3, ' ');
    let (method, path, version) = (start.next()?, start.next()?, start.next()?);
    if version != "HTTP/1.1" {
        return None;
    }
    let mut headers = Vec::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    Some(Received {
        number: 0,
        connection: 0,
        method: method.to_owned(),
        path: path.to_owned(),
        version: "HTTP/1.1",
        headers,
        body: Vec::new(),
    })
}
