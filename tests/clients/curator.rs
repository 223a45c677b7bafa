//! Curator, the Java client (next commit).
