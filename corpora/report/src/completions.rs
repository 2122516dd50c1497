//! Completion scripts for shells.

use clap::{Command, ValueEnum as _};
use clap_complete::Shell;

/// The script by which a shell completes a program's commands and options. The program prints it for `completions SHELL`.
pub fn completions(command: &mut Command, shell: Shell) -> String {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, command, &name, &mut script);
    let script = String::from_utf8_lossy(&script);
    if shell != Shell::Fish {
        return script.into_owned();
    }
    // For fish, clap_complete (4.6.11) has `help` itself among the words of which none may be there yet for more to be offered after
    // `help`, so that nothing ever is; and it knows no values of what is no option.
    let mended = |line: &str| {
        let of_help = line.contains("_using_subcommand help; and not ");
        if of_help { line.replacen(" help\"", "\"", 1) } else { line.to_owned() }
    };
    let mut lines: Vec<String> = script.lines().map(mended).collect();
    let shells: Vec<String> = Shell::value_variants().iter().map(ToString::to_string).collect();
    let after = format!("__fish_{}_using_subcommand completions", name.replace('-', "_"));
    lines.push(format!("complete -c {name} -n \"{after}\" -f -a \"{}\"\n", shells.join(" ")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::arg;
    use std::process::Command as Process;

    #[test]
    fn fish_completes_commands_options_and_values_at_every_level() {
        let sub = Command::new("completions").arg(arg!(<shell>).value_parser(clap::value_parser!(Shell)));
        let run = Command::new("run").arg(arg!(--candidate <URL>)).arg(arg!(--confirm <N>));
        let mut tool = Command::new("a-tool").subcommand(run).subcommand(sub);
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("a-tool.fish");
        std::fs::write(&script, completions(&mut tool, Shell::Fish)).unwrap();
        for (line, expected) in [
            ("a-tool r", &["run"][..]),
            ("a-tool run --c", &["--candidate", "--confirm"]),
            ("a-tool help r", &["run"]),
            ("a-tool completions ", &["bash", "elvish", "fish", "powershell", "zsh"]),
        ] {
            let ask = format!("source {}; complete -C '{line}'", script.display());
            let Ok(output) = Process::new("fish").args(["--no-config", "-c", &ask]).output() else {
                eprintln!("not run: fish is not installed");
                return;
            };
            let said = String::from_utf8(output.stdout).unwrap();
            let found: Vec<&str> = said.lines().filter_map(|line| line.split('\t').next()).collect();
            assert_eq!(found, expected, "{line}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
