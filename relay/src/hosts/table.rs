//! All hosts in memory, and which domains are banned.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::window::{DAY_MS, Window};
use super::{Host, HostId, HostLimits, HostName, HostStatus};
use crate::store::{HostRow, Store, StoreError};

/// How hosts are treated.
#[derive(Debug, Clone)]
pub struct HostPolicy {
    /// Whether windows and quotas apply at all.
    pub limits: bool,
    /// Accounts a new host may have.
    pub account_limit: u64,
    /// Hosts that may be added by the public per day.
    pub new_hosts_per_day: u64,
    /// Names or `*.` patterns of hosts with the limits of [`HostLimits::TRUSTED`].
    pub trusted: Vec<String>,
    /// Names or `*.` patterns of hosts whose commits need not prove where they come from.
    pub lenient: Vec<String>,
}

/// The host table.
#[derive(Debug)]
pub struct Hosts {
    store: Store,
    policy: HostPolicy,
    by_name: RwLock<HashMap<HostName, Arc<Host>>>,
    by_id: RwLock<BTreeMap<HostId, Arc<Host>>>,
    bans: RwLock<BTreeSet<String>>,
    new_hosts: Mutex<Window>,
}

impl Hosts {
    /// Loads hosts and bans.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load(store: Store, policy: HostPolicy) -> Result<Arc<Self>, StoreError> {
        let rows = store.hosts().await?;
        let bans = store.domain_bans().await?;
        let per_day = if policy.limits {
            policy.new_hosts_per_day
        } else {
            u64::MAX
        };
        let hosts = Self {
            store,
            policy,
            by_name: RwLock::default(),
            by_id: RwLock::default(),
            bans: RwLock::new(bans.into_iter().collect()),
            new_hosts: Mutex::new(Window::new(DAY_MS, per_day)),
        };
        for row in rows {
            hosts.insert(row);
        }
        Ok(Arc::new(hosts))
    }

    fn insert(&self, row: HostRow) -> Arc<Host> {
        let limits = self.limits_of(&row.name, row.account_limit);
        let mut by_name = self.by_name.write();
        if let Some(host) = by_name.get(&row.name) {
            return Arc::clone(host);
        }
        let lenient = is_among(&self.policy.lenient, &row.name);
        let host = Arc::new(Host::new(row, limits, lenient));
        by_name.insert(host.name.clone(), Arc::clone(&host));
        self.by_id.write().insert(host.id, Arc::clone(&host));
        host
    }

    fn limits_of(&self, name: &HostName, account_limit: u64) -> HostLimits {
        if !self.policy.limits {
            HostLimits::UNLIMITED
        } else if is_among(&self.policy.trusted, name) {
            HostLimits {
                accounts: account_limit.max(HostLimits::TRUSTED.accounts),
                ..HostLimits::TRUSTED
            }
        } else {
            HostLimits::for_accounts(account_limit)
        }
    }

    /// The host of that name.
    pub fn find(&self, name: &HostName) -> Option<Arc<Host>> {
        self.by_name.read().get(name).map(Arc::clone)
    }

    /// The host of that number.
    pub fn by_id(&self, id: HostId) -> Option<Arc<Host>> {
        self.by_id.read().get(&id).map(Arc::clone)
    }

    /// Hosts above `after`, oldest first, at most `limit`.
    pub fn page(&self, after: HostId, limit: usize) -> Vec<Arc<Host>> {
        let from = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        self.by_id
            .read()
            .range(from)
            .take(limit)
            .map(|(_, host)| Arc::clone(host))
            .collect()
    }

    /// All hosts, oldest first.
    pub fn all(&self) -> Vec<Arc<Host>> {
        self.page(HostId(0), usize::MAX)
    }

    /// Whether a further host may be added by the public today.
    pub fn may_add(&self, now_ms: u64) -> bool {
        self.new_hosts.lock().wait_ms(now_ms) == 0
    }

    /// Counts a host added by the public; `false` if there have been enough today.
    pub fn count_added(&self, now_ms: u64) -> bool {
        self.new_hosts.lock().take(now_ms)
    }

    /// Adds a host that is to be listened to from `cursor` on, or answers the one with that name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add(
        &self,
        name: HostName,
        cursor: Option<u64>,
        now_ms: u64,
    ) -> Result<Arc<Host>, StoreError> {
        let account_limit = self.policy.account_limit;
        let id = self
            .store
            .add_host(name.clone(), cursor, account_limit, now_ms)
            .await?;
        let status = HostStatus::Active;
        Ok(self.insert(HostRow {
            id,
            name,
            status,
            cursor,
            account_limit,
            accounts: 0,
        }))
    }

    /// Whether the operator has banned this name or a domain above it.
    pub fn is_domain_banned(&self, name: &HostName) -> bool {
        let bans = self.bans.read();
        name.domains().any(|domain| bans.contains(domain))
    }

    /// Whether this host must not be listened to.
    pub fn is_banned(&self, host: &Host) -> bool {
        host.status() == HostStatus::Banned || self.is_domain_banned(&host.name)
    }

    /// The status of a host as everybody may know it: a banned domain counts for every host below it.
    pub fn status_of(&self, host: &Host) -> HostStatus {
        if self.is_banned(host) {
            HostStatus::Banned
        } else {
            host.status()
        }
    }

    /// The banned domains in alphabetical order.
    pub fn banned_domains(&self) -> Vec<String> {
        self.bans.read().iter().cloned().collect()
    }

    /// Bans a domain with everything below it, and hangs up.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ban_domain(&self, domain: &str, now_ms: u64) -> Result<(), StoreError> {
        self.store.ban_domain(domain.to_owned(), now_ms).await?;
        self.bans.write().insert(domain.to_owned());
        for host in self.all() {
            if self.is_domain_banned(&host.name) {
                host.hang_up();
            }
        }
        Ok(())
    }

    /// Lifts the ban of a domain; answers the hosts that may be listened to again, or `None` if there was no ban.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unban_domain(&self, domain: &str) -> Result<Option<Vec<Arc<Host>>>, StoreError> {
        if !self.store.unban_domain(domain.to_owned()).await? {
            return Ok(None);
        }
        self.bans.write().remove(domain);
        let under = |host: &Arc<Host>| host.name.domains().any(|parent| parent == domain);
        Ok(Some(
            self.all()
                .into_iter()
                .filter(|host| under(host) && !self.is_banned(host))
                .collect(),
        ))
    }

    /// Bans one host, and hangs up.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn block(&self, host: &Host) -> Result<(), StoreError> {
        self.store
            .decide_host_status(host.id, HostStatus::Banned)
            .await?;
        host.set_status(HostStatus::Banned);
        host.hang_up();
        Ok(())
    }

    /// Lifts the ban of one host.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unblock(&self, host: &Host) -> Result<(), StoreError> {
        self.store
            .decide_host_status(host.id, HostStatus::Active)
            .await?;
        host.set_status(HostStatus::Active);
        Ok(())
    }

    /// Notes what a host's connection led to. A ban stays.
    pub(super) async fn note_status(&self, host: &Host, status: HostStatus) {
        if matches!(host.status(), HostStatus::Banned)
            || host.status().stored_name() == status.stored_name()
        {
            return;
        }
        host.set_status(status);
        if let Err(error) = self.store.set_host_status(host.id, status).await {
            tracing::warn!(host = %host.name, %error, "could not store the status of a host");
        }
    }

    /// Changes how many accounts a host may have.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_account_limit(&self, host: &Host, limit: u64) -> Result<(), StoreError> {
        self.store.set_account_limit(host.id, limit).await?;
        host.set_limits(self.limits_of(&host.name, limit));
        Ok(())
    }

    /// Saves the cursors that have moved.
    ///
    /// # Errors
    /// [`StoreError`]; they stay to be saved.
    pub async fn save_cursors(&self) -> Result<(), StoreError> {
        let moved: Vec<(Arc<Host>, Option<u64>)> = self
            .all()
            .into_iter()
            .filter_map(|host| host.flow.unsaved().map(|cursor| (host, cursor)))
            .collect();
        if moved.is_empty() {
            return Ok(());
        }
        self.store
            .save_cursors(
                moved
                    .iter()
                    .map(|(host, cursor)| (host.id, *cursor))
                    .collect(),
            )
            .await?;
        for (host, cursor) in moved {
            host.flow.saved(cursor);
        }
        Ok(())
    }
}

impl Host {
    /// Ends its connection and its attempts at one; answers whether there was a task.
    pub fn hang_up(&self) -> bool {
        self.task.lock().take().is_some_and(|task| {
            task.cancel();
            true
        })
    }
}

fn is_among(patterns: &[String], name: &HostName) -> bool {
    patterns.iter().any(|pattern| name.matches(pattern))
}
