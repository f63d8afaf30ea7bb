//! A server that the operator has named: any address, also of the own net.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Body;
use tokio::sync::Semaphore;
use url::Url;

use super::dial::Dialer;
use super::line::Line;

/// Where it is, and how it is reached.
#[derive(Debug)]
pub struct Peer {
    url: Url,
    dialer: Dialer,
    resolving: Arc<Semaphore>,
}

impl Peer {
    /// # Errors
    /// Why a text is no address of a server.
    pub fn new(url: &str) -> Result<Peer, String> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("it must be http://HOST:PORT or https://HOST:PORT".to_owned());
        }
        Ok(Peer { url, dialer: Dialer::new(true), resolving: Arc::new(Semaphore::new(1)) })
    }

    /// Its address.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What it calls its host.
    pub fn host(&self) -> String {
        super::host_of(&self.url)
    }

    /// Connects to it.
    ///
    /// # Errors
    /// Why not, for people.
    pub async fn open<B>(&self) -> Result<Line<B>, String>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        Line::open(&self.dialer, &self.url, &self.resolving).await
    }
}
