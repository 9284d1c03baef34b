//! An exchange that is no delivery: what this server itself asks another for, such as the keys of
//! an identity provider. Rare, so that each opens a connection of its own, and the answer comes
//! whole or not at all.

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Body;
use model::attempt::ErrorKind;
use tokio::time::timeout;
use url::Url;

use super::answer::Trace;
use super::fault::{self, human};
use super::{Failure, HttpClient, Target};

/// The longest answer that is read.
pub const FETCHED_MAX_BYTES: usize = 512 * 1024;

impl HttpClient {
    /// Makes a request to the absolute URL that it names. Redirects are answers.
    ///
    /// # Errors
    /// When no whole answer came, whatever its status.
    pub async fn fetch(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Failure> {
        let fetched = timeout(self.timeout, self.fetch_whole(request)).await;
        fetched.unwrap_or_else(|_| {
            let message = format!("no whole answer within {}", human(self.timeout));
            Err(Failure::new(ErrorKind::Timeout, message))
        })
    }

    async fn fetch_whole(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Failure> {
        let (asked, body) = request.into_parts();
        let unusable = |why: String| Failure::new(ErrorKind::Internal, why);
        let url = Url::parse(&asked.uri.to_string()).map_err(|why| unusable(why.to_string()))?;
        let target = Target::new(&url).map_err(|why| unusable(why.to_string()))?;
        let headers = target.dress(asked.headers, body.len());
        let mut wire = self.dialer.open(&target, &mut Trace::default()).await?;
        let sent = wire.call(asked.method, &target, headers, body).await;
        let response = sent.map_err(|refused| fault::exchange(refused.error()))?;
        let (parts, mut incoming) = response.into_parts();
        let mut read = Vec::new();
        while !incoming.is_end_stream() {
            let Some(frame) = wire.frame(&mut incoming).await else { break };
            let frame = frame.map_err(|error| fault::exchange(&error))?;
            let Ok(bytes) = frame.into_data() else { continue };
            if read.len() + bytes.len() > FETCHED_MAX_BYTES {
                return Err(unusable(format!(
                    "the answer is longer than {FETCHED_MAX_BYTES} bytes"
                )));
            }
            read.extend_from_slice(&bytes);
        }
        Ok(Response::from_parts(parts, Bytes::from(read)))
    }
}
