//! `VIVARIUM_*` variables.

use super::catalogue::{self, SETTINGS};
use super::layers::Entry;
use super::problem::{Origin, Problem};

const PREFIX: &str = "VIVARIUM_";

/// Read elsewhere: by the command line, the logger and `cluster-scripts/`.
const OTHER_NAMES: &[&str] = &[
    "VIVARIUM_ALLOW_TMPFS",
    "VIVARIUM_BIN",
    "VIVARIUM_CONFIG",
    "VIVARIUM_ENDPOINTS",
    "VIVARIUM_LOCK",
    "VIVARIUM_LOCK_TOKEN",
    "VIVARIUM_LOG",
    "VIVARIUM_PASSWORD",
    "VIVARIUM_QUICKSTART_SECONDS",
    "VIVARIUM_READY_SECONDS",
    "VIVARIUM_TASK_ACTION",
    "VIVARIUM_TASK_ATTEMPT",
    "VIVARIUM_TASK_ID",
    "VIVARIUM_TASK_KEY",
    "VIVARIUM_TASK_TOKEN",
    "VIVARIUM_ZOO_CFG",
    "VIVARIUM_ZOO_CFG_EXTRA",
];

/// Kubernetes gives these to every pod that shares a namespace with a Service named `vivarium`.
const SERVICE_LINK_PREFIXES: &[&str] = &["VIVARIUM_PORT", "VIVARIUM_SERVICE_"];

/// The entries among `variables`; whatever else begins with `VIVARIUM_` is a problem.
pub fn read(variables: &[(String, String)], problems: &mut Vec<Problem>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (name, text) in variables {
        let elsewhere = OTHER_NAMES.contains(&name.as_str())
            || SERVICE_LINK_PREFIXES
                .iter()
                .any(|prefix| name.starts_with(prefix));
        if !name.starts_with(PREFIX) || elsewhere {
            continue;
        }
        let origin = Origin::Environment { name: name.clone() };
        match SETTINGS
            .iter()
            .find(|setting| setting.environment_name() == *name)
        {
            Some(setting) => entries.push(Entry::text(setting.key, text, &origin)),
            None => {
                let names: Vec<String> = SETTINGS
                    .iter()
                    .map(|setting| setting.environment_name())
                    .collect();
                let suggestion = catalogue::suggestion(name, names.iter().map(String::as_str));
                let what = format!("there is no such setting{suggestion}");
                problems.push(Problem::new(&origin, "", what));
            }
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, text)| (name.to_string(), text.to_string()))
            .collect()
    }

    #[test]
    fn a_variable_is_named_after_its_key() {
        let mut problems = Vec::new();
        let found = read(
            &variables(&[("VIVARIUM_TIMING_TICK_MS", "500"), ("PATH", "/bin")]),
            &mut problems,
        );
        assert!(problems.is_empty());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].key, "timing.tick_ms");
    }

    #[test]
    fn an_unknown_variable_is_refused_with_the_nearest_one() {
        let mut problems = Vec::new();
        read(
            &variables(&[("VIVARIUM_TIMING_TIK_MS", "500")]),
            &mut problems,
        );
        assert!(problems[0].to_string().contains("VIVARIUM_TIMING_TICK_MS?"));
    }

    #[test]
    fn what_the_scripts_and_kubernetes_set_is_left_alone() {
        let mut problems = Vec::new();
        let set = variables(&[
            ("VIVARIUM_BIN", "x"),
            ("VIVARIUM_PORT", "tcp://10.0.0.1:2181"),
            ("VIVARIUM_PORT_2181_TCP_ADDR", "10.0.0.1"),
            ("VIVARIUM_SERVICE_HOST", "10.0.0.1"),
        ]);
        assert!(read(&set, &mut problems).is_empty());
        assert!(problems.is_empty());
    }

    #[test]
    fn a_variable_of_scripts_and_commands_never_stops_a_member() {
        let texts = [
            include_str!("../cli/lock.rs"),
            include_str!("../cli/native.rs"),
            include_str!("../cli/task.rs"),
            include_str!("../../cluster-scripts/cluster.sh"),
            include_str!("../../cluster-scripts/load-test.sh"),
            include_str!("../../cluster-scripts/quickstart.sh"),
            include_str!("../../cluster-scripts/test.sh"),
        ];
        let letter = |c: char| c.is_ascii_uppercase() || c == '_';
        let text = texts.concat();
        for (at, _) in text.match_indices(PREFIX) {
            let name: String = text[at..].chars().take_while(|c| letter(*c)).collect();
            let mut problems = Vec::new();
            read(&variables(&[(&name, "x")]), &mut problems);
            assert!(problems.is_empty(), "{name}");
        }
    }
}
