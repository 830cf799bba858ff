//! Options from flags, variables and files, and their errors.

use std::io::Write;
use std::time::Duration;

use super::*;

/// Loads from the text of a file, variables and flags.
fn load_from(file: &str, variables: &[(&str, &str)], flags: &[&str]) -> Result<Loaded, Failure> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logboom.toml");
    std::fs::File::create(&path).unwrap().write_all(file.as_bytes()).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let command = clap::Command::new("serve").no_binary_name(true).args(arguments());
    let flags = super::flags(&command.try_get_matches_from(flags).unwrap());
    load(Some(&path), variables, flags)
}

fn config(file: &str, variables: &[(&str, &str)], flags: &[&str]) -> Config {
    load_from(file, variables, flags).unwrap_or_else(|failure| panic!("{failure}")).config
}

/// Returns the failure, without the folder that the test created.
fn failure(file: &str, variables: &[(&str, &str)], flags: &[&str]) -> String {
    let failure = load_from(file, variables, flags).expect_err("it must not load").to_string();
    let words: Vec<_> = failure
        .split(' ')
        .map(|word| if word.contains("/logboom.toml") { word.rsplit('/').next().unwrap() } else { word })
        .collect();
    words.join(" ")
}

#[test]
fn defaults() {
    let config = Config::default();
    assert_eq!(config.data_dir, Path::new("./logboom-data"));
    assert_eq!((config.threads, config.connections_max, config.query_rows_max), (0, 20_000, 100_000));
    assert_eq!(
        (config.frame_seconds_max, config.query_seconds_max, config.shutdown_seconds_max),
        (30, 30, 10)
    );
    assert_eq!(
        (config.frame_bytes_max, config.body_bytes_max, config.body_compressed_bytes_max),
        (4 << 20, 64 << 20, 16 << 20)
    );
    assert_eq!(
        config.spool,
        SpoolConfig { bytes_max: 4 << 30, segment_bytes: 16 << 20, when_full: WhenFull::Shed }
    );
    assert_eq!((config.log_level, config.log_format), (LevelFilter::INFO, LogFormat::Text));
    let listeners: Vec<_> = config
        .listen
        .iter()
        .map(|listener| format!("{}={}", listener.protocol.name(), listener.address))
        .collect();
    assert_eq!(listeners, ["python=127.0.0.1:9020", "python-udp=127.0.0.1:9021", "http=127.0.0.1:9022"]);
    let store = StoreConfig {
        name: "sqlite".into(),
        url: StoreUrl::Sqlite("./logboom-data/logboom.db".into()),
        flush_rows: 16_384,
        flush_bytes: 4 << 20,
        flush_interval: Duration::from_millis(200),
        retention_age: None,
        retention_bytes: None,
        retention: Vec::new(),
        node: None,
        line_format: "%(levelname)1.1s %(asctime)s %(name)s:%(lineno)3s %(message)s".into(),
        rotate_bytes: None,
        rotate_daily: false,
        rotate_keep: None,
    };
    assert_eq!(config.stores, [store]);
    let mut mistakes = Mistakes::default();
    check::check(&config, &mut mistakes);
    assert!(mistakes.into_failure().is_none());
}

#[test]
fn flag_wins_then_environment_then_file() {
    let file = "threads = 2\nconnections_max = 3\nquery_rows_max = 4";
    let variables = [("LOGBOOM_THREADS", "5"), ("LOGBOOM_CONNECTIONS_MAX", "6"), ("HOME", "/root")];
    let config = config(file, &variables, &["--threads", "7"]);
    assert_eq!((config.threads, config.connections_max, config.query_rows_max), (7, 6, 4));
}

#[test]
fn every_option_can_be_set_in_every_source() {
    for about in options::ALL.iter().filter(|about| about.is_global()) {
        let text = match about.key {
            "log_file" => "a.log",
            "retention" => "noise=3d",
            key if about.default == "none" && key == "retention_age" => "30d",
            _ if about.default == "none" => "70000",
            _ => about.default,
        };
        let in_file = load_from(&format!("{} = \"{text}\"", about.key), &[], &[]).unwrap();
        let in_variable = load_from("", &[(&about.variable(), text)], &[]).unwrap();
        let in_flag =
            load_from("", &[], &[&format!("--{}={}", about.flag(), text.split(' ').next().unwrap())]);
        assert_eq!(in_file.config, in_variable.config, "{}", about.key);
        if !text.contains(' ') {
            assert_eq!(in_flag.unwrap().config, in_file.config, "{}", about.key);
        }
        let told = |loaded: &Loaded| loaded.effective().find(|(key, ..)| *key == about.key).unwrap().2;
        assert!(told(&in_file).starts_with("in line 1 of "), "{}", about.key);
        assert_eq!(told(&in_variable), about.variable());
    }
}

#[test]
fn toml_value_needs_no_quotes() {
    let config = config("threads = 0x1_0\nspool_bytes_max = 67_108_864\nrotate_daily = true", &[], &[]);
    assert_eq!((config.threads, config.spool.bytes_max, config.stores[0].rotate_daily), (16, 64 << 20, true));
}

#[test]
fn switch_needs_no_value() {
    assert!(config("", &[], &["--rotate-daily"]).stores[0].rotate_daily);
    assert!(!config("rotate_daily = true", &[], &["--rotate-daily=false"]).stores[0].rotate_daily);
}

#[test]
fn list_is_read_from_every_source() {
    let two = ["python=127.0.0.1:1", "http=127.0.0.1:2"];
    let of = |config: Config| {
        config.listen.iter().map(|listener| listener.address.to_string()).collect::<Vec<_>>()
    };
    let expected = ["127.0.0.1:1", "127.0.0.1:2"];
    assert_eq!(of(config("", &[], &["--listen", two[0], "--listen", two[1]])), expected);
    assert_eq!(of(config("", &[("LOGBOOM_LISTEN", &two.join("; "))], &[])), expected);
    assert_eq!(of(config("", &[("LOGBOOM_LISTEN", &two.join(" "))], &[])), expected);
    assert_eq!(of(config(&format!("listen = {two:?}"), &[], &[])), expected);
    assert_eq!(of(config(&format!("listen = {two:?}"), &[], &["--listen", "http=[::1]:3"])), ["[::1]:3"]);
    assert!(failure("listen = []", &[], &[]).contains("the list is empty"));
}

#[test]
fn log_file_is_added_to_stores() {
    let stores =
        config("", &[], &["--store", "sqlite", "--store", "file:b", "--log-file", "c", "--data-dir", "d"])
            .stores;
    let told: Vec<_> = stores.iter().map(|store| format!("{} {}", store.name, store.url)).collect();
    assert_eq!(told, ["sqlite sqlite:d/logboom.db", "file file:b", "file-2 file:c"]);
}

#[test]
fn file_store_alone_is_valid() {
    let stores = config("store = \"file:a\"", &[], &[]).stores;
    assert_eq!(stores.len(), 1);
}

const TABLES: &str = "flush_rows = 10\nretention_age = \"1d\"\n\n\
                      [[store]]\nurl = \"sqlite:a.db\"\nretention_age = \"none\"\n\n\
                      [[store]]\nurl = \"file:b.log\"\nname = \"readable\"\nflush_rows = 20\n";

#[test]
fn url_of_table_may_contain_blanks() {
    let stores = config("[[store]]\nurl = 'file:a b'", &[], &[]).stores;
    assert_eq!(stores[0].url, StoreUrl::File("a b".into()));
}

#[test]
fn table_wins_over_file_top_and_flag_over_both() {
    let of = |config: Config| {
        let stores = config.stores.into_iter();
        stores.map(|store| (store.name, store.flush_rows, store.retention_age)).collect::<Vec<_>>()
    };
    let day = Some(Duration::from_secs(86_400));
    assert_eq!(of(config(TABLES, &[], &[])), [("sqlite".into(), 10, None), ("readable".into(), 20, day)]);
    let flags = of(config(TABLES, &[("LOGBOOM_FLUSH_ROWS", "30")], &["--retention-age", "1d"]));
    assert_eq!(flags, [("sqlite".into(), 30, day), ("readable".into(), 30, day)]);
    assert_eq!(of(config(TABLES, &[], &["--store", "file:c"])), [("file".into(), 10, day)]);
}

#[test]
fn unknown_key_suggests_nearest() {
    let expected = "error: cannot read the configuration file logboom.toml: unknown key `data_dri` in line 3\n\
                    hint: did you mean `data_dir`?";
    assert_eq!(failure("\n# where\ndata_dri = 'x'", &[], &[]), expected);
    assert!(!failure("colour = 1", &[], &[]).contains("hint"));
    assert!(
        failure("[[store]]\nurl = 'sqlite'\nflush_row = 1", &[], &[])
            .contains("line 3\nhint: did you mean `flush_rows`?")
    );
    assert!(
        failure("[[store]]\nurl = 'sqlite'\nthreads = 1", &[], &[])
            .contains("belongs at the top of the file")
    );
    assert!(failure("name = 'x'", &[], &[]).contains("belongs in a `[[store]]` table"));
    let variable = failure("", &[("LOGBOOM_DATA_DRI", "x")], &[]);
    assert_eq!(
        variable,
        "error: unknown environment variable LOGBOOM_DATA_DRI\nhint: did you mean LOGBOOM_DATA_DIR?"
    );
}

#[test]
fn unrelated_variable_is_ignored() {
    let others = [
        ("LOGBOOM_SERVICE_HOST", "10.0.0.1"),
        ("LOGBOOM_PORT", "tcp://10.0.0.1:9020"),
        ("LOGBOOM_THREADS", ""),
    ];
    assert_eq!(config("", &others, &[]), Config::default());
}

#[test]
fn bad_value_names_place_and_accepted_values() {
    let expected = "error: bad value for `spool_bytes_max`, given in line 2 of logboom.toml: `4GX` has the unknown unit `GX`\n\
                    hint: it takes a size such as `64MiB`, `64MB` or plain bytes";
    assert_eq!(failure("\nspool_bytes_max = '4GX'", &[], &[]), expected);
    let flag = failure("", &[], &["--threads", "many"]);
    assert!(
        flag.starts_with(
            "error: bad value for `threads`, given by --threads: `many` is not a whole number\n"
        )
    );
    let variable = failure("", &[("LOGBOOM_WHEN_FULL", "drop")], &[]);
    assert!(variable.contains("given by LOGBOOM_WHEN_FULL: `drop` is none of `shed`, `block`"));
    assert!(failure("", &[], &["--store", "clickhouse://db/logs"]).contains("not in this version"));
    assert!(failure("threads = [1, 2]", &[], &[]).contains("neither text, number nor list in line 1"));
    assert!(failure("threads = 1\nthreads = 2", &[], &[]).contains("in line 2"));
    assert!(failure("threads = \n", &[], &[]).contains("in line 1"));
}

#[test]
fn all_mistakes_are_reported_in_order_of_lines() {
    let file = "threads = 'many'\ncolour = 1\nlisten = ['python=a', 'http=b:1', 'smtp=c:1', 'http=b:1']\n\
                [[store]]\nurl = 'file:x'\nflush_rows = 0\n[[store]]\nname = 'no url'\n\
                [[store]]\nurl = 'file:./x'\nname = 'a b'\n";
    let failure = failure(file, &[("LOGBOOM_DELETE", "perhaps")], &["--query-rows-max=0"]);
    let errors: Vec<_> = failure.lines().filter(|line| line.starts_with("error: ")).collect();
    let expected = [
        "`threads`, given in line 1",
        "unknown key `colour` in line 2",
        "`listen`, given in line 3 of logboom.toml: `python=a`",
        "`listen`, given in line 3 of logboom.toml: `smtp=c:1`",
        "`flush_rows`, given in line 6",
        "has no `url` in line 7",
        "`name`, given in line 11",
        "`query_rows_max`, given by --query-rows-max",
        "`delete`, given by LOGBOOM_DELETE",
        "two listeners on b:1",
        "two stores write ./x",
    ];
    assert_eq!(errors.len(), expected.len(), "{failure}");
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.contains(expected), "{expected}: {failure}");
    }
}

#[test]
fn conditions_on_unread_values_are_not_reported() {
    for file in [
        "body_bytes_max = 'x'\nbody_compressed_bytes_max = '128MiB'",
        "spool_bytes_max = '32MiB'\nspool_segment_bytes = [1]",
    ] {
        assert_eq!(failure(file, &[], &[]).matches("error: ").count(), 1, "{file}");
    }
}

#[test]
fn every_line_that_is_not_toml_is_reported() {
    let failure = failure("threads = \ncolour = 1\nlisten = [\"a\nquery_rows_max == 1\n", &[], &[]);
    for line in ["line 1", "line 3", "line 4"] {
        assert!(failure.contains(line), "{failure}");
    }
    assert!(!failure.contains("colour"), "{failure}");
    let many = "no value\n".repeat(100);
    assert!(self::failure(&many, &[], &[]).ends_with("\nerror: 50 more errors"));
}

#[test]
fn equal_stores_are_rejected() {
    let table = |name: &str, path: &str| format!("[[store]]\nname = \"{name}\"\nurl = \"file:{path}\"\n");
    let same_name = failure(&(table("a", "x") + &table("a", "y")), &[], &[]);
    assert!(same_name.starts_with("error: two stores are called `a`\nhint: "), "{same_name}");
    let same_path = failure(&(table("a", "x") + &table("b", "./x")), &[], &[]);
    assert!(same_path.starts_with("error: two stores write ./x: both `a` and `b` do\nhint: "), "{same_path}");
    let mixed = failure("store = ['sqlite', { url = 'file:x' }]", &[], &[]);
    assert!(mixed.contains("mixes texts and tables"), "{mixed}");
    assert!(failure("[[store]]\nname = 'a'", &[], &[]).contains("has no `url` in line 1\nhint: "));
    assert!(failure("", &[], &["--log-file", "./logboom-data/logboom.db"]).contains("two stores write"));
    let databases = |one: &str, other: &str| {
        let table = |name: &str, url: &str| format!("[[store]]\nname = \"{name}\"\nurl = \"{url}\n");
        load_from(&(table("a", &format!("{one}\"")) + &table("b", other)), &[], &[])
    };
    for other in ["postgresql://h:5432/db", "postgres://jo:secret@h/db?sslmode=require"] {
        let same = databases("postgres://h/db", &format!("{other}\"")).unwrap_err().to_string();
        assert!(same.starts_with("error: two stores write postgres"), "{same}");
        assert!(same.contains("both `a` and `b` do\nhint: ") && same.contains("its own `node`"), "{same}");
        assert!(!same.contains("secret"), "{same}");
    }
    for other in [
        "postgres://h/db\"\nnode = \"second\"",
        "postgres://h/other\"",
        "postgres://h:5433/db\"",
        "postgres://g/db\"",
        "postgres://h/db?options=-c%20search_path%3Dmine\"",
    ] {
        assert!(databases("postgres://h/db", other).is_ok(), "{other}");
    }
}

#[test]
fn equal_listeners_are_rejected() {
    let listen = |one: &str, other: &str| load_from("", &[], &["--listen", one, "--listen", other]);
    let twice = listen("python=127.0.0.1:1", "http=127.0.0.1:1").unwrap_err().to_string();
    assert!(
        twice.starts_with(
            "error: two listeners on 127.0.0.1:1: both `python` and `http` listen there\nhint: "
        )
    );
    assert!(listen("python=unix:/a/./b", "http=unix:/a/b").is_err());
    assert!(listen("python=127.0.0.1:1", "python-udp=127.0.0.1:1").is_ok());
    assert!(listen("python=127.0.0.1:0", "http=127.0.0.1:0").is_ok());
}

#[test]
fn inconsistent_sizes_are_rejected() {
    for (file, part) in [
        ("frame_bytes_max = '16MiB'", "below 16 MiB"),
        ("body_bytes_max = '1MiB'", "is larger than `body_bytes_max`"),
        ("spool_segment_bytes = '1MiB'", "must hold the largest commit"),
        ("spool_bytes_max = '32MiB'", "must hold 3 segments"),
        ("threads = 5000", "too many"),
    ] {
        let failure = failure(file, &[], &[]);
        assert!(failure.contains(part) && failure.contains("\nhint: "), "{failure}");
    }
    assert_eq!(config("frame_bytes_max = 16777215", &[], &[]).frame_bytes_max, (16 << 20) - 1);
}

#[test]
fn missing_or_too_large_file_is_rejected() {
    let missing = load(Some(Path::new("/no/such/file")), [], Values::default()).unwrap_err();
    assert!(
        missing
            .to_string()
            .starts_with("error: cannot read the configuration file /no/such/file: No such file")
    );
    assert_eq!(missing.exit_code(), std::process::ExitCode::from(2));
    let large = "#".repeat(crate::limits::CONFIGURATION_BYTES_MAX as usize + 1);
    assert!(failure(&large, &[], &[]).contains("more than 1048576 bytes"));
}

#[test]
fn deeply_nested_input_is_rejected() {
    let deep = format!("threads = {}", "[".repeat(100_000));
    assert!(failure(&deep, &[], &[]).contains("logboom.toml"));
}

#[test]
fn reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, reference()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == reference(), "docs/configuration.md is stale: run `UPDATE=1 cargo test config::`");
}

#[test]
fn example_of_reference_loads() {
    let text = reference();
    let example = text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config = config(example, &[], &[]);
    assert_eq!((config.stores.len(), config.stores[1].rotate_keep), (2, Some(14)));
}
