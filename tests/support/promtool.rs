//! Prometheus's own checker, on the files of `docs/monitoring/`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file of `docs/monitoring/`.
pub(crate) fn document(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring").join(name)
}

/// Runs `promtool ARGS…`, which must succeed without a warning.
pub(crate) fn promtool(args: &[&str], input: &str) {
    let mut child = Command::new("promtool")
        .args(args)
        .current_dir(document(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs: apt-get install prometheus");
    child
        .stdin
        .take()
        .expect("stdin is piped")
        .write_all(input.as_bytes())
        .expect("promtool reads its input");
    let output = child.wait_with_output().expect("promtool ends");
    let [answer, complaints] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("promtool writes UTF-8"));
    assert!(output.status.success() && complaints.is_empty(), "promtool {args:?}:\n{answer}{complaints}");
}
