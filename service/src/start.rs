//! The first steps of every service: a folder for its data and a place on the network.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;

use crate::config::Endpoint;

/// A service that accepts connections.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its origin, without a slash at the end.
    pub url: String,
    /// The address it listens on.
    pub address: SocketAddr,
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: is another server running there?")]
pub struct ListenError {
    /// Address and port.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub cause: io::Error,
}

/// The data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the data folder {}", folder.display())]
pub struct FolderError {
    /// Which.
    pub folder: PathBuf,
    /// What the system said.
    #[source]
    pub cause: io::Error,
}

/// Listens where `endpoint` says. Connections wait until somebody serves the listener.
///
/// # Errors
/// An address that is in use or not this machine's.
pub async fn listen(endpoint: &Endpoint) -> Result<(TcpListener, Running), ListenError> {
    let failed = |cause| ListenError {
        address: endpoint.address,
        cause,
    };
    let listener = TcpListener::bind(endpoint.address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let url = match &endpoint.public_url {
        Some(url) => url.clone(),
        None => format!("http://localhost:{}", address.port()),
    };
    Ok((listener, Running { url, address }))
}

/// Makes the data folder, unless it is there.
///
/// # Errors
/// A folder that cannot be made.
pub fn make_folder(folder: &Path) -> Result<(), FolderError> {
    std::fs::create_dir_all(folder).map_err(|cause| FolderError {
        folder: folder.to_owned(),
        cause,
    })
}
