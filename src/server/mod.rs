//! The doors: accept, limit, authenticate, translate, answer. They decide nothing about data.

pub mod admin;
mod admission;
pub mod grpc;
pub mod operator;
pub mod zookeeper;

pub use admission::AdmissionLimits;
