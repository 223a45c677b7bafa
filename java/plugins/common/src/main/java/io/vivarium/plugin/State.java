package io.vivarium.plugin;

/** What a host is told of its connection. */
public enum State {
    /** The first session was opened. */
    CONNECTED,
    /** The session goes on, or a new one was opened after the last was lost. */
    RECONNECTED,
    /** Whether the session lives is not known. */
    SUSPENDED,
    /** The session is over, with the ephemeral entries and the locks that were bound to it. */
    DISCONNECTED
}
