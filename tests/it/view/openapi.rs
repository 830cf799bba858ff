//! Property: the server conforms to `/openapi.json`: schemathesis sends requests that the document
//! allows, and requests that it does not allow.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::parity::rich;
use super::server_with;

/// Returns the path at which `./check` installs schemathesis.
fn schemathesis() -> std::path::PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/schemathesis/bin/schemathesis");
    assert!(program.exists(), "{} is missing: ./check installs it", program.display());
    program
}

#[test]
fn server_conforms_to_its_openapi_document() {
    let folder = TempDir::new().unwrap();
    let server = server_with(50, &folder);
    assert_eq!(server.post(rich()).status, 200);
    server.flush();
    let work = TempDir::new().unwrap();
    let output = Command::new(schemathesis())
        .current_dir(work.path())
        .arg("run")
        .arg(format!("{}/openapi.json", server.url()))
        // A schema cannot fully describe the valid values of `q` and of times; and a tail does not
        // end.
        .args(["--exclude-checks=positive_data_acceptance"])
        .args(["--exclude-path=/api/v1/tail"])
        .args(["--seed=1", "--generation-deterministic", "--max-examples=15", "--workers=1", "--no-color"])
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
}
