//! `docs/configuration.md`, generated from the declarations of the options.

use std::fmt::Write;

use super::options;
use super::setting::{About, Section};
use super::shape::Arity;

const BEGIN: &str = "\
# Configuration

<!-- Generated from src/config/options.rs; `UPDATE=1 cargo test config::` writes it anew. -->

Every option is a flag of `logboom serve`, an environment variable, and a key of a TOML file
(`--config FILE`, or the variable `LOGBOOM_CONFIG`). **Flags win, then the environment, then the file, then the
default.** Nothing needs to be set.

- An unknown key is an error that names the nearest known one. So is a variable that nearly has the name of an
  option; an empty variable counts as not set.
- Sizes are written `64MiB` (powers of 1024), `64MB` (powers of 1000) or as plain bytes; durations `200ms`, `30s`,
  `15m`, `12h`, `30d`.
- Lists: repeat the flag; in a variable separate by blanks or semicolons; in the file `[\"one\", \"two\"]`.
- `logboom check-config FILE` reports all errors of a file. If there are none, it shows what `serve` would run with: every
  option with the source of its value, the listeners, and the options of each store.

```toml
data_dir = \"/var/lib/logboom\"
listen = [\"python=0.0.0.0:9020,env=prod\", \"http=127.0.0.1:9022\"]
retention_age = \"30d\"

[[store]]
url = \"sqlite\"

[[store]]
name = \"readable\"
url = \"file:/var/log/all.log\"
rotate_daily = true
rotate_keep = 14
```

The other commands (`query`, `sql`, `status`, `delete`, `export`, `import`) need only the address of the server: `--url`, or the variable
`LOGBOOM_URL`; `http://127.0.0.1:9022` by default.
";

/// Returns the whole text.
pub fn text() -> String {
    let mut out = String::from(BEGIN);
    for (section, heading) in Section::ALL {
        let _ = write!(out, "\n## {heading}\n{}", note(section));
        for about in options::ALL.iter().filter(|about| about.section == section) {
            entry(&mut out, about);
        }
    }
    out
}

fn note(section: Section) -> &'static str {
    match section {
        Section::EachStore => {
            "\nThese are the defaults of all stores, and also keys of a `[[store]]` table, which then win over the top \
             of the\nfile. Flags and variables win over both.\n"
        }
        Section::StoreTable => {
            "\nIf there are `[[store]]` tables, `--store` and `LOGBOOM_STORE` still win over them.\n"
        }
        _ => "",
    }
}

fn entry(out: &mut String, about: &About) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\n### `{}`\n\n{}\n\n", about.key, about.help.trim());
    let _ = writeln!(out, "- Takes {}.", about.accepts);
    if about.is_global() {
        let _ = writeln!(out, "- Default: {}", default(about));
        let _ = writeln!(out, "- Flag: `{}`", flag(about));
        let _ = writeln!(out, "- Variable: `{}`", about.variable());
    }
}

fn default(about: &About) -> String {
    match about.form {
        Arity::List => {
            about.default.split(' ').map(|part| format!("`{part}`")).collect::<Vec<_>>().join(", ")
        }
        Arity::One | Arity::Switch => format!("`{}`", about.default),
    }
}

fn flag(about: &About) -> String {
    match about.form {
        Arity::One => format!("--{} {}", about.flag(), about.value_name),
        Arity::List => format!("--{} {} ...", about.flag(), about.value_name),
        Arity::Switch => format!("--{}[={}]", about.flag(), about.value_name),
    }
}
