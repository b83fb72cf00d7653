//! A network for tests: answers by URL or name, and a record of what was asked.

use super::{Get, Network, NetworkError, Reply};
use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

type Answers<T> = Arc<Mutex<HashMap<String, Result<T, NetworkError>>>>;

/// Answers by URL or name, and a record of what was asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    http: Answers<(u16, Bytes)>,
    dns: Answers<Vec<String>>,
    silent: Arc<Mutex<HashSet<String>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Script {
    pub(crate) fn http(&self, url: &str, status: u16, body: impl AsRef<[u8]>) {
        let answer = Ok((status, Bytes::copy_from_slice(body.as_ref())));
        self.http.lock().insert(url.into(), answer);
    }

    pub(crate) fn http_fails(&self, url: &str, error: NetworkError) {
        self.http.lock().insert(url.into(), Err(error));
    }

    pub(crate) fn dns(&self, name: &str, records: &[&str]) {
        let records = records.iter().map(|record| (*record).to_owned()).collect();
        self.dns.lock().insert(name.into(), Ok(records));
    }

    pub(crate) fn dns_fails(&self, name: &str, error: NetworkError) {
        self.dns.lock().insert(name.into(), Err(error));
    }

    /// Questions for this name are never answered.
    pub(crate) fn dns_is_silent(&self, name: &str) {
        self.silent.lock().insert(name.into());
    }

    pub(crate) fn document(&self, url: &str, did: &str, handle: &str) {
        self.http(
            url,
            200,
            format!(r#"{{"id":"{did}","alsoKnownAs":["at://{handle}"]}}"#),
        );
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock())
    }
}

impl Network for Script {
    fn get<'a>(&'a self, get: Get<'a>) -> BoxFuture<'a, Result<Reply, NetworkError>> {
        let host = get
            .host
            .map(|host| format!(" as {host}"))
            .unwrap_or_default();
        self.asked.lock().push(format!("{}{host}", get.url));
        let answer = self.http.lock().get(&get.url).cloned();
        async move {
            tokio::task::yield_now().await;
            let (status, body) = answer.unwrap_or(Err(NetworkError::NoSuchName))?;
            Ok(Reply { status, body })
        }
        .boxed()
    }

    fn txt<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<String>, NetworkError>> {
        self.asked.lock().push(format!("TXT {name}"));
        let answer = self.dns.lock().get(name).cloned();
        let is_silent = self.silent.lock().contains(name);
        async move {
            if is_silent {
                std::future::pending::<()>().await;
            }
            answer.unwrap_or(Err(NetworkError::NoSuchName))
        }
        .boxed()
    }
}
