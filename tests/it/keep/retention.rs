//! Services whose records are kept for a shorter time.

use serde_json::json;

use super::Kept;
use crate::harness::eventually;

/// A configuration that names one such service.
fn arguments(age: &str) -> [String; 1] {
    [format!("--retention=noise={age}")]
}

fn service(n: usize) -> &'static str {
    if n.is_multiple_of(2) { "noise" } else { "shop" }
}

#[test]
fn noise_goes_and_the_rest_stays_in_sqlite() {
    let [argument] = arguments("1s");
    let kept = Kept::sqlite(&[&argument]);
    let line = |n: usize| json!({ "service": service(n), "message": format!("event {n}") });
    // A block that is full, and a beginning of the next.
    kept.fill((0..5000).map(line));
    eventually("the noise of the full block is gone", || (kept.count() == 5000 - 2048).then_some(()));
    assert_eq!(kept.value("SELECT count(*) FROM logs WHERE service = 'shop'"), 2500);
    kept.check_accounts();
    kept.fill((0..10).map(line));
    assert_eq!(kept.value("SELECT max(id) FROM logs"), 5010);
    kept.check_accounts();
}

#[test]
fn noise_goes_and_the_rest_stays_in_postgresql() {
    let [argument] = arguments("1d");
    let kept = Kept::postgres(&[&argument]);
    let (now, day) = (super::now(), 86_400);
    let line = |n: usize| {
        let time = now - [0, 1, 5, 9][n / 2 % 4] * day;
        json!({ "time": time, "service": service(n), "message": format!("event {n}") })
    };
    kept.fill((0..4000).map(line));
    eventually("the noise of the older days is gone", || (kept.count() == 3000).then_some(()));
    assert_eq!(kept.value("SELECT count(*) FROM logs WHERE service = 'shop'"), 2000);
    kept.check_accounts();
}

#[test]
fn a_configuration_names_services_in_tables() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("logboom.toml");
    let check = |text: &str| {
        std::fs::write(&path, text).unwrap();
        super::logboom(&["check-config", path.to_str().unwrap()])
    };
    let two = "[[retention]]\nservice = \"debug noise\"\nage = \"3d\"\n[[retention]]\nservice = \"health\"\nage = \"12h\"\n";
    let told = super::succeeded(&check(two));
    assert!(told.contains("debug noise=3d health=12h"), "{told}");
    super::failed(&check("[[retention]]\nservice = \"a\"\nages = \"3d\"\n"), "`service` and `age` alone");
    super::failed(&check("retention = [\"a=3d\", \"a=4d\"]"), "names the service `a` twice");
    super::failed(&check("retention = [\"a=3 days\"]"), "unknown unit");
}
