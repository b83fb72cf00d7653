//! Maps in the canonical key order of DAG-CBOR.

use std::cmp::Ordering;
use std::fmt;

use super::Value;

/// A map from text to values, kept in canonical order: shorter keys first, then by bytes.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Map(Vec<(String, Value)>);

/// The canonical order of keys.
pub(super) fn compare_keys(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

impl Map {
    /// An empty map.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The value under a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let index = self.find(key).ok()?;
        self.0.get(index).map(|(_, value)| value)
    }

    /// The value under a key, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let index = self.find(key).ok()?;
        self.0.get_mut(index).map(|(_, value)| value)
    }

    /// Whether a key is present.
    pub fn contains_key(&self, key: &str) -> bool {
        self.find(key).is_ok()
    }

    /// Puts a value under a key and returns the one it replaces. To make a large map, collect.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        match self.find(&key) {
            Ok(index) => self
                .0
                .get_mut(index)
                .map(|entry| std::mem::replace(&mut entry.1, value)),
            Err(index) => {
                self.0.insert(index, (key, value));
                None
            }
        }
    }

    /// Takes out a key.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.find(key).ok().map(|index| self.0.remove(index).1)
    }

    /// The entries in canonical order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> + DoubleEndedIterator {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The keys in canonical order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The map of entries in any order; errors with a key that occurs twice.
    pub(super) fn from_entries(mut entries: Vec<(String, Value)>) -> Result<Self, String> {
        let order =
            |a: &(String, Value), b: &(String, Value)| compare_keys(a.0.as_bytes(), b.0.as_bytes());
        if !entries.is_sorted_by(|a, b| order(a, b).is_lt()) {
            entries.sort_by(order);
            let mut pairs = entries.iter().zip(entries.iter().skip(1));
            if let Some((twice, _)) = pairs.find(|(a, b)| a.0 == b.0) {
                return Err(twice.0.clone());
            }
        }
        Ok(Self(entries))
    }

    /// The map of entries that are known to be in canonical order, each key once.
    pub(super) fn from_sorted(entries: Vec<(String, Value)>) -> Self {
        Self(entries)
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.0
            .binary_search_by(|(probe, _)| compare_keys(probe.as_bytes(), key.as_bytes()))
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Map {
    /// Of a key that occurs twice, the last value stays.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let entries = entries.into_iter();
        let mut entries: Vec<(String, Value)> = entries
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        // A stable sort keeps equal keys in the order they came.
        entries.sort_by(|a, b| compare_keys(a.0.as_bytes(), b.0.as_bytes()));
        entries.dedup_by(|later, earlier| {
            let twice = later.0 == earlier.0;
            if twice {
                std::mem::swap(&mut later.1, &mut earlier.1);
            }
            twice
        });
        Self(entries)
    }
}

impl IntoIterator for Map {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<(String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
