//! Property: completions and manual pages cover every command.

use std::process::Command;

use tempfile::TempDir;

use super::{assert_fails, err, out, run};

/// Every command, and one of its flags.
const COMMANDS: [(&str, &str); 19] = [
    ("serve", "--data-dir"),
    ("query", "--around"),
    ("tail", "--last"),
    ("stats", "--by"),
    ("sql", "--no-pager"),
    ("status", "--url"),
    ("delete", "--before"),
    ("backup", "--database"),
    ("restore", "--data-dir"),
    ("export", "--output"),
    ("import", "--from-line"),
    ("check-config", "--help"),
    ("schema", "--store"),
    ("spool", "--help"),
    ("spool-inspect", "--data-dir"),
    ("store", "--help"),
    ("store-adopt", "--data-dir"),
    ("completions", "--help"),
    ("man", "--help"),
];

#[test]
fn list_of_tested_commands_is_complete() {
    let help = out(&run(&["--help"]));
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    for line in commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
        let name = line.split_whitespace().next().unwrap();
        assert!(COMMANDS.iter().any(|(known, _)| *known == name), "{name} is not tested");
    }
}

/// Returns true if a command belongs to another command, as `store adopt` does.
fn is_nested(command: &str) -> bool {
    ["spool-", "store-"].iter().any(|parent| command.starts_with(parent))
}

#[test]
fn every_shell_completes_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""));
        let script = out(&output);
        for (command, flag) in COMMANDS {
            let name = command.rsplit('-').next().filter(|_| is_nested(command)).unwrap_or(command);
            let flag = if shell == "fish" { flag.trim_start_matches("--") } else { flag };
            assert!(script.contains(name) && script.contains(flag), "{shell}: {command} {flag}");
        }
    }
    assert_fails(&run(&["completions", "tcsh"]), 2, &["tcsh", "bash", "fish"]);
}

#[test]
fn bash_completes_commands_flags_and_fields() {
    let script = out(&run(&["completions", "bash"]));
    let completed = |words: &str| {
        let last = words.rsplit(' ').next().unwrap();
        let previous = words.rsplit(' ').nth(1).unwrap();
        let program = format!(
            "{script}\nCOMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             _logboom logboom '{last}' '{previous}'; echo \"${{COMPREPLY[@]}}\""
        );
        let output = Command::new("bash").args(["-c", &program]).output().unwrap();
        out(&output).trim().to_owned()
    };
    assert_eq!(completed("logboom stat"), "status stats");
    assert_eq!(completed("logboom query --no-p"), "--no-pager");
    assert_eq!(completed("logboom query --format c"), "csv");
    assert_eq!(completed("logboom query --fields trace"), "trace_id");
    assert_eq!(completed("logboom stats --by ser"), "service");
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path().join("new/man1");
    let output = run(&["man", folder.to_str().unwrap()]);
    assert_eq!((output.status.code(), err(&output).as_str(), out(&output).as_str()), (Some(0), "", ""));
    let page = |name: &str| std::fs::read_to_string(folder.join(format!("{name}.1"))).unwrap();
    let overview = page("logboom");
    for (command, flag) in COMMANDS {
        let text = page(&format!("logboom-{command}"));
        assert!(text.contains(".TH logboom-") && text.contains(".SH DESCRIPTION"), "{text}");
        assert!(text.contains(&flag.replace('-', "\\-")), "{command}: {text}");
        assert!(
            is_nested(command) || overview.contains(&format!("logboom\\-{}", command.replace('-', "\\-")))
        );
    }
    // Examples keep their line breaks.
    assert!(page("logboom-query").contains("\nlogboom query \\-\\-limit 20\n"), "{}", page("logboom-query"));
    assert_fails(&run(&["man", "/proc/nowhere"]), 1, &["cannot write the manual pages into /proc/nowhere"]);
}
