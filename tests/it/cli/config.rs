//! Property: `check-config`, flags and help report mistakes as usage errors, and valid
//! configurations as data.

use tempfile::TempDir;

use super::{assert_fails, err, out, run};

fn check(text: &str) -> std::process::Output {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("logboom.toml");
    std::fs::write(&path, text).unwrap();
    run(&["check-config", path.to_str().unwrap()])
}

#[test]
fn valid_file_is_shown_with_effective_values() {
    let output =
        check("data_dir = '/var/lib/logboom'\nretention_age = '30d'\nlisten = ['http=127.0.0.1:9922']\n");
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""));
    let page = out(&output);
    let rows: Vec<Vec<_>> = page.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(
        rows.iter().any(|row| row.first() == Some(&"data_dir") && row.last() == Some(&"/var/lib/logboom")),
        "{page}"
    );
    assert!(rows.contains(&vec!["sqlite", "sqlite:/var/lib/logboom/logboom.db"]), "{page}");
    assert!(
        page.contains("30d") && page.contains("http=127.0.0.1:9922") && page.contains("by default"),
        "{page}"
    );
}

#[test]
fn invalid_file_is_a_usage_error_naming_the_key() {
    assert_fails(&check("data_dri = '/var/lib/logboom'"), 2, &["data_dri", "hint: did you mean `data_dir`?"]);
    assert_fails(
        &check("[[store]]\nurl = 'sqlite'\nrotate_byts = '1MiB'"),
        2,
        &["rotate_byts", "`rotate_bytes`"],
    );
    assert_fails(&check("threads = 'many'"), 2, &["threads", "hint: "]);
    assert_fails(&check("spool_bytes_max = '1MiB'"), 2, &["spool_bytes_max", "hint: "]);
    assert_fails(&check("listen = ['pyhton=127.0.0.1:1']"), 2, &["pyhton", "python"]);
    assert_fails(&check("data_dir = "), 2, &["logboom.toml"]);
    assert_fails(&run(&["check-config", "/nowhere/logboom.toml"]), 2, &["/nowhere/logboom.toml"]);
}

#[test]
fn every_store_is_shown_with_its_own_values() {
    let output = check(
        "flush_rows = 10\nlisten = ['python=127.0.0.1:1,env=prod', 'http=unix:/run/x']\n[[store]]\nurl = 'sqlite:a.db'\n\
         [[store]]\nname = 'readable'\nurl = 'file:b.log'\nflush_rows = 20\n",
    );
    let page = out(&output);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let has = |start: &str, end: &str| {
        let words = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
        page.lines().map(words).any(|row| row.starts_with(&words(start)) && row.ends_with(&words(end)))
    };
    assert!(
        has("sqlite flush_rows in line 1 of", "10") && has("readable flush_rows in line 8 of", "20"),
        "{page}"
    );
    assert!(has("readable rotate_daily by default", "false"), "{page}");
    assert!(has("python 127.0.0.1:1", "env=prod") && has("http unix:/run/x", "none"), "{page}");
    assert!(page.ends_with("/logboom.toml: no errors\n"), "{page}");
}

#[test]
fn all_errors_are_reported_at_once() {
    let output = check("threads = 'many'\ncolour = 1\nspool_bytes_max = '1MiB'\nlog_file = '/dev/null'");
    assert_fails(&output, 2, &["`threads`", "`colour`", "`spool_bytes_max`", "/dev/null"]);
    assert_eq!(err(&output).matches("error: ").count(), 4, "{}", err(&output));
}

#[test]
fn bad_command_line_is_a_usage_error() {
    assert_fails(&run(&["serve", "--data-dri=x"]), 2, &["--data-dri", "--data-dir"]);
    assert_fails(&run(&["qurey"]), 2, &["qurey", "query"]);
    assert_fails(&run(&["sql"]), 2, &["<SQL>"]);
    assert_fails(&run(&["query", "--url"]), 2, &["--url"]);
    assert_fails(&run(&["serve", "--threads=many"]), 2, &["threads"]);
    assert_fails(&run(&["serve", "--listen=smtp=127.0.0.1:25"]), 2, &["smtp"]);
    assert_fails(&run(&["status", "--url=https://logs.example"]), 2, &["without TLS"]);
}

#[test]
fn help_is_written_to_standard_output() {
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["query", "--help"],
        &["stats", "--help"],
        &["completions", "--help"],
        &["man", "--help"],
        &["sql", "-h"],
        &["spool", "verify", "--help"],
        &["--version"],
    ] {
        let output = run(arguments);
        assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""), "{arguments:?}");
        let text = out(&output);
        assert!(!text.contains('\x1b') && text.len() > 10, "{text:?}");
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
        assert!(text.lines().all(|line| line.trim_end() == line), "blanks at the end of a line: {text}");
    }
    let help = out(&run(&["--help"]));
    for command in ["serve", "query", "stats", "sql", "status", "check-config", "spool", "completions", "man"]
    {
        assert!(help.contains(&format!("\n  {command}")), "{help}");
    }
    // Without a command, the help is an error message on standard error.
    let output = run(&[]);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(2), ""));
    assert!(err(&output).contains("Usage: logboom"), "{}", err(&output));
}

/// Reported before a start, because a server would start and keep everything in its spool.
#[test]
fn unusable_paths_are_reported() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let fifo = |name: &str| {
        let fifo = folder.path().join(name);
        rustix::fs::mknodat(rustix::fs::CWD, fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    };
    fifo("fifo");
    fifo("all.log.position");
    std::fs::create_dir(folder.path().join("directory")).unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    for (text, said) in [
        (format!("[[store]]\nurl = 'file:{}'", path("fifo")), "it is not a regular file"),
        (format!("[[store]]\nurl = 'sqlite:{}'", path("fifo")), "it is not a regular file"),
        (format!("[[store]]\nurl = 'file:{}'", path("directory")), "it is not a regular file"),
        ("[[store]]\nurl = 'sqlite:/dev/null'".to_owned(), "it is not a regular file"),
        (format!("[[store]]\nurl = 'file:{}'", path("all.log")), "all.log.position"),
        (format!("data_dir = '{}'", path("file")), "it is not a folder"),
    ] {
        assert_fails(&check(&text), 2, &[said, "hint: "]);
    }
    assert_eq!(check(&format!("[[store]]\nurl = 'file:{}'", path("none"))).status.code(), Some(0));
}
