//! A personal data server of the AT Protocol: accounts, their repositories and blobs, and the event
//! stream of everything public.
//!
//! `account`, `auth`, `keys`, `mail`, `identity` and `proxy` serve the member; `repo`, `blob` and
//! `sequencer` keep what they publish, `lexicon` says whether it is what it claims to be; `store` alone knows SQL; `api` and `web` face the network.

pub mod account;
pub mod api;
pub mod app;
pub mod audit;
pub mod auth;
pub mod blob;
pub mod config;
pub mod identity;
mod job;
pub mod keys;
pub mod lexicon;
pub mod mail;
pub mod proxy;
pub mod repo;
pub mod sequencer;
mod start;
pub mod store;
mod web;

#[cfg(test)]
mod tests;

pub use config::Config;
pub use rochdale_service::start::Running;
pub use start::{StartError, start};
