package io.vivarium.client;

/** How an entry ends. */
public enum Lifetime {
    /** When somebody removes it. */
    PERSISTENT,
    /** With the session that registered it, at the latest. */
    SESSION
}
