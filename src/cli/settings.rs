//! `vivarium settings`: the reference of all settings, from the catalogue itself.

use crate::config::{Kind, SETTINGS, Setting, SettingDefault};
use std::fmt::Write;

/// Every setting with its default, bounds, unit, names and meaning.
pub fn reference() -> String {
    let mut text = String::new();
    for setting in SETTINGS {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{} = {}\n    {}\n    {}; environment {}; since {}",
            setting.key,
            default(setting),
            setting.doc,
            kind(setting),
            setting.environment_name(),
            setting.since,
        );
    }
    text
}

fn default(setting: &Setting) -> String {
    match setting.default {
        SettingDefault::Is(text) => text.to_owned(),
        SettingDefault::Derived(words) => format!("({words})"),
        SettingDefault::Empty => "(nothing)".to_owned(),
    }
}

fn kind(setting: &Setting) -> String {
    match setting.kind {
        Kind::Integer { min, max } => format!("{min} to {max} {}", setting.unit)
            .trim_end()
            .to_owned(),
        Kind::Flag => "true or false".to_owned(),
        Kind::Text { chars_max } => format!("text of at most {chars_max} characters"),
        Kind::Path => "directory".to_owned(),
        Kind::File => "file".to_owned(),
        Kind::Line { chars_max } | Kind::Secret { chars_max } => {
            format!("line of at most {chars_max} characters")
        }
        Kind::Choice(names) => format!("one of {}", names.join(", ")),
        Kind::Choices(names) => format!("some of {}", names.join(", ")),
        Kind::Address => "HOST:PORT".to_owned(),
        Kind::Members => "list".to_owned(),
        Kind::Words => "list of words, or *".to_owned(),
        Kind::Digest => "USER:BASE64".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_in_the_reference_with_its_unit() {
        let text = reference();
        for setting in SETTINGS {
            assert!(text.contains(&format!("{} = ", setting.key)));
        }
        assert!(text.contains("10 to 600000 ms; environment VIVARIUM_TIMING_TICK_MS"));
    }
}
