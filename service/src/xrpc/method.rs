//! One row of a service's route table.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::Request;
use axum::handler::Handler;
use axum::response::Response;

use super::limit::Budget;

/// What a method is, and with it which HTTP verb it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// GET and HEAD.
    Query,
    /// POST.
    Procedure,
    /// GET that becomes a web socket.
    Subscription,
}

/// What a request may cost before its handler runs.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest body, in decoded bytes.
    pub body_bytes: u64,
    /// Budgets that each request takes one point from, keyed by the client's address.
    pub per_ip: &'static [Budget],
    /// Whether the budget of all methods together counts this one.
    pub in_global: bool,
}

impl Limits {
    /// What a method without a body, or with a small JSON one, gets.
    pub const DEFAULT: Self = Self {
        body_bytes: 150 << 10,
        per_ip: &[],
        in_global: true,
    };

    /// The default with another largest body.
    pub const fn body(body_bytes: u64) -> Self {
        Self {
            body_bytes,
            ..Self::DEFAULT
        }
    }

    /// With budgets per client address.
    #[must_use]
    pub const fn per_ip(self, per_ip: &'static [Budget]) -> Self {
        Self { per_ip, ..self }
    }

    /// Not counted in the budget of all methods together.
    #[must_use]
    pub const fn outside_global(self) -> Self {
        Self {
            in_global: false,
            ..self
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

pub(super) trait Erased<S>: Send + Sync {
    fn call(&self, request: Request, state: S) -> Answer;
}

struct Typed<H, T> {
    handler: H,
    arguments: std::marker::PhantomData<fn() -> T>,
}

impl<H, T, S> Erased<S> for Typed<H, T>
where
    H: Handler<T, S> + Sync,
    T: 'static,
    S: Send + 'static,
{
    fn call(&self, request: Request, state: S) -> Answer {
        Box::pin(self.handler.clone().call(request, state))
    }
}

/// A row: an NSID, what it is, who may call it, what it may cost and what it does.
#[derive(Clone)]
pub struct Method<S> {
    /// The NSID; `*` for the fallback.
    pub nsid: &'static str,
    /// Query, procedure or subscription; `None` for the fallback, which takes all verbs.
    pub kind: Option<Kind>,
    /// The class of credentials, for people and tests; the handler's extractors enforce it.
    pub auth: &'static str,
    /// What a request may cost.
    pub limits: Limits,
    pub(super) handler: Arc<dyn Erased<S>>,
}

impl<S> fmt::Debug for Method<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Method")
            .field("nsid", &self.nsid)
            .field("kind", &self.kind)
            .field("auth", &self.auth)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A row of the table. `handler` is an axum handler over the service's state.
pub fn method<S, H, T>(
    nsid: &'static str,
    kind: Kind,
    auth: &'static str,
    limits: Limits,
    handler: H,
) -> Method<S>
where
    H: Handler<T, S> + Sync,
    T: 'static,
    S: Send + 'static,
{
    let handler = Arc::new(Typed {
        handler,
        arguments: std::marker::PhantomData,
    });
    Method {
        nsid,
        kind: Some(kind),
        auth,
        limits,
        handler,
    }
}

/// What happens to every NSID that is not in the table, and to malformed ones: GET, HEAD and POST reach
/// `handler` with the body as it came, undecoded but within `limits`.
pub fn fallback<S, H, T>(auth: &'static str, limits: Limits, handler: H) -> Method<S>
where
    H: Handler<T, S> + Sync,
    T: 'static,
    S: Send + 'static,
{
    Method {
        kind: None,
        ..method("*", Kind::Query, auth, limits, handler)
    }
}
