//! How many subscribers there may be, in all and from one address.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::xrpc::{ClientIp, XrpcError};

pub(super) struct Seats {
    taken: Mutex<HashMap<u128, usize>>,
    max: usize,
    max_per_ip: usize,
    gauge: metrics::Gauge,
}

/// One subscriber's place, free again when dropped.
pub(super) struct Seat {
    seats: Arc<Seats>,
    key: u128,
}

impl Seats {
    pub(super) fn new(name: &'static str, max: usize, max_per_ip: usize) -> Self {
        let gauge = metrics::gauge!("rochdale_stream_subscribers", "stream" => name);
        Self {
            taken: Mutex::default(),
            max,
            max_per_ip,
            gauge,
        }
    }

    pub(super) fn take(seats: &Arc<Self>, client: ClientIp) -> Result<Seat, XrpcError> {
        let key = client.key();
        let mut taken = seats.taken.lock();
        let all: usize = taken.values().sum();
        let own = taken.get(&key).copied().unwrap_or(0);
        if all >= seats.max || own >= seats.max_per_ip {
            return Err(XrpcError::rate_limited(60));
        }
        taken.insert(key, own + 1);
        seats.gauge.increment(1.0);
        Ok(Seat {
            seats: Arc::clone(seats),
            key,
        })
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.lock().values().sum()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock();
        if let Some(own) = taken.get_mut(&self.key) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.key);
            }
        }
        self.seats.gauge.decrement(1.0);
    }
}
