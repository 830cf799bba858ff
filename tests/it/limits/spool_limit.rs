//! Property: the spool reaches its ceiling under load over both protocols while the database is
//! locked, leaves it again, and loses or doubles no record.

use tempfile::TempDir;
use test_support::Setup;
use test_support::audit::Trail;
use test_support::lock::DatabaseLock;
use test_support::overload::Overload;

fn full_and_relieved(when_full: &str) {
    let folder = TempDir::new().unwrap();
    let (data, log_file) = (folder.path().join("data"), folder.path().join("all.log"));
    let mut server = Setup::new()
        .argument("--spool-bytes-max=12MiB")
        .argument("--spool-segment-bytes=4MiB")
        .argument(format!("--when-full={when_full}"))
        .argument(format!("--log-file={}", log_file.display()))
        .argument("--line-format=%(id)s %(message)s")
        .start(&data);
    server.flush();
    let locked = DatabaseLock::acquire(&data.join("logboom.db"));
    let overload = Overload::fill(&server, when_full);

    locked.release();
    let (acknowledged, accepted) = overload.resume_and_stop(&server);
    assert_eq!(server.stop(), 0);
    assert!(!server.log().contains("panicked"), "{}", server.log());

    let mut database = Trail::default();
    database.follow_database(&data.join("logboom.db"));
    Trail::of_log_files(&log_file).check_equal("the database", &database);
    database.check_has("the database", &acknowledged);
    assert_eq!(database.count() as u64, accepted);
}

#[test]
fn full_spool_that_sheds_resumes_exactly() {
    full_and_relieved("shed");
}

#[test]
fn full_spool_that_blocks_resumes_exactly() {
    full_and_relieved("block");
}
