//! The router behind its real listener: old clients end their paths with a slash.

use std::time::Duration;

use api::serve::{ServeOptions, serve};
use model::endpoint::Endpoint;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::both;
use crate::world::{TOKEN, World};

both!(paths_may_end_with_a_slash);

const PATIENCE: Duration = Duration::from_secs(20);

async fn paths_may_end_with_a_slash(world: World) {
    let app = world.app("crm").await;
    let _: Endpoint = world.endpoint(app, "hook").await;
    let id = world.publish("crm", json!({"tags": ["one"]})).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let options =
        ServeOptions { max_connections: 4, header_timeout_ms: 5_000, tls: None, drain_ms: 5_000 };
    let server = tokio::spawn(serve(listener, world.router.clone(), options, stopped));
    for (path, status) in [
        (format!("/api/v1/app/crm/msg/{id}"), "200"),
        (format!("/api/v1/app/crm/msg/{id}/"), "200"),
        ("/api/v1/app/crm/msg/?tag=one&limit=1".to_owned(), "200"),
        ("/api/v1/app/crm/msg/?tag=%2F/".to_owned(), "200"),
        ("/api/v1/health/".to_owned(), "204"),
        ("/api/v1/app/crm/nowhere/".to_owned(), "404"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\
             connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        tokio::time::timeout(PATIENCE, read).await.expect("an answer in time").unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
    }
    stop.send(true).unwrap();
    tokio::time::timeout(PATIENCE, server).await.expect("it ends").unwrap();
}
