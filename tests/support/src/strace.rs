//! `strace` on a running stack: what it asks of the system, and what the system answers.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::NamedTempFile;

use crate::Stack;

/// Calls by which bytes reach a file.
const WRITES: &str = "write,writev,pwrite64,pwritev,fallocate,ftruncate";
/// Calls that wait for the disk.
const SYNCS: &str = "fdatasync,fsync";

/// A tracer, attached to every thread of a stack until it is dropped.
#[derive(Debug)]
pub struct Strace {
    child: Child,
    output: NamedTempFile,
}

impl Strace {
    /// Records the system calls `calls` (names, with commas between them), with the names of files, the ends of sockets, and
    /// up to a database's page of what is read and written.
    pub fn record(stack: &Stack, calls: &str) -> Self {
        let calls = format!("trace={calls}");
        Self::attach(stack, &["-yy", "-s", "4200", "-e", &calls])
    }

    /// From now on the disk fails every sync of `file`.
    pub fn fail_syncs(stack: &Stack, file: &Path) -> Self {
        Self::inject(stack, SYNCS, "EIO", &[file])
    }

    /// From now on the disk has no space for anything more in `files`.
    pub fn fill_disk(stack: &Stack, files: &[&Path]) -> Self {
        Self::inject(stack, WRITES, "ENOSPC", files)
    }

    fn inject(stack: &Stack, calls: &str, error: &str, files: &[&Path]) -> Self {
        let trace = format!("trace={calls}");
        let inject = format!("inject={calls}:error={error}");
        let mut arguments = vec!["-e", &trace, "-e", &inject];
        for file in files {
            let there = file.try_exists().expect("a folder that can be read");
            assert!(there, "{} is there to fail", file.display());
            arguments.extend(["-P", file.to_str().expect("a path in UTF-8")]);
        }
        Self::attach(stack, &arguments)
    }

    fn attach(stack: &Stack, arguments: &[&str]) -> Self {
        let output = NamedTempFile::new().expect("a file for the trace");
        let mut child = Command::new("strace")
            .arg("-f")
            .args(arguments)
            .arg("-o")
            .arg(output.path())
            .args(["-p", &stack.pid().to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace is installed");
        let said = BufReader::new(child.stderr.take().expect("standard error"));
        let mut lines = said.lines().map_while(Result::ok);
        let attached = lines.find(|line| line.contains(" attached"));
        assert!(attached.is_some(), "strace may trace other processes");
        // What it says of further threads is read, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, output }
    }

    /// Ends the trace and answers it, one line a call, in the order in which calls ended.
    pub fn finish(mut self) -> String {
        self.detach();
        std::fs::read_to_string(self.output.path()).expect("the trace")
    }

    fn detach(&mut self) {
        // SIGTERM lets it detach; it is gone already when the stack is.
        let pid = self.child.id().to_string();
        let _sent = Command::new("kill").arg(pid).stderr(Stdio::null()).status();
        let _ended = self.child.wait();
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        self.detach();
    }
}
