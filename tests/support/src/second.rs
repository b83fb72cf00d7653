//! Another PDS at the directory of a [`Stack`]: `rochdale pds` as a child process.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::Stack;

/// A PDS alone, whose handles end in `.two.test`.
#[derive(Debug)]
pub struct SecondPds {
    child: Option<Child>,
    binary: PathBuf,
    folder: TempDir,
    /// Its base URL, without a slash at the end.
    pub url: String,
}

impl SecondPds {
    /// Starts it and waits until it answers.
    pub async fn start(binary: impl AsRef<Path>, stack: &Stack) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        drop(listener);
        let url = format!("http://localhost:{port}");
        let (data, plc, first) = (folder.path().display(), &stack.identity, &stack.pds);
        let config = format!(
            "[pds]\nport = {port}\ndata_dir = \"{data}\"\nplc_url = \"{plc}\"\n\
             handle_domains = [\".two.test\"]\ninvites_required = false\n\
             [resolver]\nplc_url = \"{plc}\"\n\
             [resolver.local]\n\".two.test\" = \"{url}\"\n\".test\" = \"{first}\"\n\
             [limits]\nenabled = false\n[telemetry]\ndev = true\n"
        );
        std::fs::write(folder.path().join("rochdale.toml"), config).expect("a configuration");
        let mut second = Self {
            child: None,
            binary: binary.as_ref().to_owned(),
            folder,
            url,
        };
        second.start_again(&stack.http).await;
        second
    }

    /// Starts it on the same folder and port and waits until it answers.
    pub async fn start_again(&mut self, http: &reqwest::Client) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log.jsonl"))
            .expect("a log file");
        let child = Command::new(&self.binary)
            .arg("pds")
            .arg("--config")
            .arg(self.folder.path().join("rochdale.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("the rochdale binary starts"));
        let health = format!("{}/xrpc/_health", self.url);
        for _ in 0..200 {
            if http
                .get(&health)
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "the second PDS does not answer; the log says:\n{}",
            self.log()
        );
    }

    /// Ends the process with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("SIGKILL");
            child.wait().expect("the child ends");
        }
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    /// Everything it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log.jsonl")).unwrap_or_default()
    }
}

impl Drop for SecondPds {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The code in the newest mail of the PDS with this data folder.
pub fn mailed_code(data: &Path) -> String {
    let outbox = std::fs::read_dir(data.join("outbox")).expect("an outbox");
    let mails = outbox.map(|entry| entry.expect("a mail").path());
    let newest = mails.max().expect("a mail");
    let mail = std::fs::read_to_string(newest).expect("a mail that can be read");
    let is_code = |line: &&str| {
        line.len() == 11 && line.as_bytes()[5] == b'-' && *line == line.to_uppercase()
    };
    let code = mail.lines().map(str::trim).find(is_code);
    code.expect("a code in the mail").to_owned()
}
