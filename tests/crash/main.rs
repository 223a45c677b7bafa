//! Kill at every write, lose and tear what was not synced, start again: same answers.

mod log;
