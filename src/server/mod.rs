//! The doors: accept, limit, authenticate, translate, answer. They decide nothing about data.

pub mod zookeeper;
