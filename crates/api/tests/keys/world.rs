//! A server with an application `one` and a keyspace `crm`.

use std::ops::Deref;

use http::Method;
use serde_json::{Value, json};
use testkit::databases::FromDatabase;
use testkit::server::Reply;
use testkit::{TestDatabase, TestOptions, TestServer};

pub struct World(TestServer);

impl Deref for World {
    type Target = TestServer;

    fn deref(&self) -> &TestServer {
        &self.0
    }
}

impl FromDatabase for World {
    async fn from_database(database: TestDatabase) -> Self {
        // Where forward-auth comes from in tests.
        Self::with(database, &["127.0.0.1/32"]).await
    }
}

impl World {
    pub async fn with(database: TestDatabase, trusted_proxies: &'static [&'static str]) -> Self {
        let options = TestOptions { trusted_proxies, ..TestOptions::new(database.url()) };
        let world = Self(TestServer::over(database, options).await);
        world.made("/app", json!({"name": "One", "uid": "one"})).await;
        world.made("/keyspace", keyspace()).await;
        world
    }
}

pub fn keyspace() -> Value {
    json!({
        "name": "CRM",
        "uid": "crm",
        "prefix": "crm",
        "permissions": {
            "read:contacts": "See contacts",
            "write:contacts": "Change contacts",
            "delete:contacts": "Delete contacts",
        },
        "roles": {"editor": ["read:contacts", "write:contacts"]},
    })
}

/// A key with its token.
pub struct Made {
    pub id: String,
    pub token: String,
}

impl Made {
    pub fn of(key: &Value) -> Self {
        let text = |field: &str| key[field].as_str().expect("a text").to_owned();
        Self { id: text("id"), token: text("token") }
    }

    /// Its path in the application `one`.
    pub fn path(&self, below: &str) -> String {
        format!("/app/one/key/{}{below}", self.id)
    }
}

impl World {
    pub async fn ask(&self, method: Method, path: &str, body: Value) -> Reply {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.call(method, &format!("/api/v1{path}"), &[], body).await
    }

    /// The answer of a GET that must be a success.
    pub async fn read(&self, path: &str) -> Value {
        self.ok(Method::GET, path, Value::Null).await
    }

    /// The answer of a POST that must be a success.
    pub async fn made(&self, path: &str, body: Value) -> Value {
        self.ok(Method::POST, path, body).await
    }

    pub async fn ok(&self, method: Method, path: &str, body: Value) -> Value {
        let reply = self.ask(method, path, body).await;
        assert!((200..300).contains(&reply.status), "{path}: {} {}", reply.status, reply.json);
        reply.json
    }

    /// A key in the keyspace `crm` of the application `one`, with these fields.
    pub async fn key(&self, fields: Value) -> Made {
        let mut wish = json!({"keyspace": "crm", "name": "a key"});
        wish.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Made::of(&self.made("/app/one/key", wish).await)
    }

    /// The whole verdict about a token, with these further questions.
    pub async fn verdict(&self, token: &str, fields: Value) -> Value {
        let mut question = json!({"key": token, "keyspace": "crm"});
        question.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.made("/key/verify", question).await
    }

    pub async fn code(&self, token: &str) -> String {
        let verdict = self.verdict(token, json!({})).await;
        verdict["code"].as_str().expect("a code").to_owned()
    }
}

impl World {
    /// A POST by somebody else than the test's token.
    pub async fn called(&self, bearer: &str, path: &str, body: String) -> Reply {
        self.call_bare(Method::POST, path, &[("authorization", bearer)], body.into_bytes()).await
    }

    /// A request without any token of ours.
    pub async fn bare(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.call_bare(method, path, headers, Vec::new()).await
    }
}
