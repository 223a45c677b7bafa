//! `docs/protocol.md` promises one row for everything a client may send. This keeps the promise: who
//! adds an operation, a code or a word to the protocol is sent to the page.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use vivarium::config::zoo_cfg_keys;
use vivarium::model::Refusal;
use vivarium::server::admin::COMMANDS;
use vivarium::wire::{Word, opcode};

const PAGE: &str = include_str!("../docs/protocol.md");

/// The minus sign of the page, which is not the hyphen of a program.
fn written(number: i32) -> String {
    number.to_string().replace('-', "−")
}

fn has_row(starting: &[String]) -> bool {
    PAGE.lines().any(|line| {
        let mut cells = line.split('|').skip(1).map(str::trim);
        starting.iter().all(|cell| cells.next() == Some(cell))
    })
}

#[test]
fn every_operation_has_its_row() {
    let operations = (-100..=1000).filter(|number| opcode::name(*number) != "unknown");
    let mut count = 0;
    for number in operations {
        let row = [written(number), opcode::name(number).to_owned()];
        assert!(has_row(&row), "no row for {row:?}");
        count += 1;
    }
    assert!(count > 20, "{count} operations");
}

#[test]
fn every_code_that_can_be_answered_has_its_row() {
    let refusals = (-1000..0).map(Refusal::from_code);
    for code in refusals.map(Refusal::code) {
        assert!(has_row(&[written(code)]), "no row for {code}");
    }
}

#[test]
fn every_command_of_the_admin_server_has_its_row() {
    for command in COMMANDS {
        let short: Vec<String> = command
            .short
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let row = [format!("`{}`", command.name), short.join(", ")];
        assert!(has_row(&row), "no row for {row:?}");
    }
}

#[test]
fn every_four_letter_word_is_named() {
    let (_, section) = PAGE
        .split_once("## Four-letter words")
        .expect("the section");
    for word in Word::ALL {
        let name = format!("`{}`", word.as_str());
        assert!(section.contains(&name), "{name} is not named");
    }
}

#[test]
fn every_key_of_a_zoo_cfg_has_its_row() {
    let (_, section) = PAGE
        .split_once("## Keys of a `zoo.cfg`")
        .expect("the section");
    let rows = section.lines().filter_map(|line| line.split('|').nth(1));
    let rows: Vec<&str> = rows.collect();
    let lacking: Vec<String> = zoo_cfg_keys()
        .filter(|key| !rows.iter().any(|row| row.contains(&format!("`{key}`"))))
        .collect();
    assert!(lacking.is_empty(), "no row for {lacking:?}");
}

/// `docs/requirements.md` names tests: those that are gone show nothing.
#[test]
fn every_test_that_shows_a_requirement_is_there() {
    const REQUIREMENTS: &str = include_str!("../docs/requirements.md");
    let mut texts = String::new();
    for (directory, language) in [("src", "rs"), ("tests", "rs"), ("java", "java")] {
        read_all(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(directory),
            language,
            &mut texts,
        );
    }
    let mut ids = BTreeSet::new();
    for row in REQUIREMENTS.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, id, _, shown, _] = cells[..] else {
            panic!("{row:?} has other cells");
        };
        if id == "id" {
            continue;
        }
        assert!(ids.insert(id.to_owned()), "{id} has two rows");
        for name in shown.split('`').skip(1).step_by(2) {
            let test = name.rsplit("::").next().unwrap_or_default();
            let is_test = name.contains("::") && !test.is_empty();
            let is_there = !is_test
                || texts.contains(&format!("fn {test}("))
                || texts.contains(&format!("mod {test};"))
                || texts.contains(&format!("void {test}("));
            assert!(is_there, "{id}: there is no {name}");
        }
    }
    assert!(ids.len() > 100, "{} requirements", ids.len());
}

fn read_all(directory: &Path, language: &str, texts: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        // What Maven builds may come and go meanwhile.
        if path.ends_with("target") {
            continue;
        }
        if path.is_dir() {
            read_all(&path, language, texts);
        } else if path
            .extension()
            .is_some_and(|extension| extension == language)
        {
            texts.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}
