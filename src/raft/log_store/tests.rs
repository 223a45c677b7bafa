//! openraft's own suite for storage, on our log and our state machine.
